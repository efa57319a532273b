"""Crops as anybody cuts them: loose, leaning, without a plate."""

from __future__ import annotations

import cv2
import numpy as np

from platestream.vision.crop_reader import CropReader
from platestream.vision.detector import Detector
from platestream.vision.recognizer import Recognizer
from training.synthesis.plate import random_text, render_plate

Image = np.ndarray


def loose(plate: Image, rng: np.random.Generator, times: int = 2) -> Image:
    """A plate somewhere in a grey picture so many times as wide and twice as many as high."""
    height, width = plate.shape[:2]
    size = (2 * times * height, times * width, 3)
    picture = rng.normal(90, 6, size).clip(0, 255).astype(np.uint8)
    y, x = (int(rng.integers(0, side)) for side in (size[0] - height, size[1] - width))
    picture[y : y + height, x : x + width] = plate
    return cv2.GaussianBlur(picture, (0, 0), 0.7)


def leaning(plate: Image, degrees: float, rng: np.random.Generator) -> Image:
    """A plate turned in a grey picture that ends where it does."""
    height, width = plate.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    corners = np.array([[[0, 0], [width, 0], [width, height], [0, height]]], np.float64)
    (moved,) = cv2.transform(corners, turn)
    turn[:, 2] -= moved.min(0)
    across, up = (int(side) for side in np.ceil(np.ptp(moved, 0)))
    picture = rng.normal(90, 6, (up, across, 3)).clip(0, 255).astype(np.uint8)
    cv2.warpAffine(plate, turn, (across, up), picture, cv2.INTER_AREA, cv2.BORDER_TRANSPARENT)
    return cv2.GaussianBlur(picture, (0, 0), 0.7)


def never() -> Detector:
    raise AssertionError("a crop that is read needs no second look")


def test_a_loose_crop_is_read_at_the_second_look(
    recognizer: Recognizer, detector: Detector
) -> None:
    rng = np.random.default_rng(3)
    texts = [random_text(rng) for _ in range(12)]
    crops = [loose(render_plate(text, px_per_mm=0.35, rng=rng), rng) for text in texts]
    alone = recognizer.predict(crops)
    read = CropReader(recognizer, lambda: detector).predict(crops)
    assert sum(r.text == t for r, t in zip(alone, texts, strict=True)) <= 6
    assert sum(r.text == t for r, t in zip(read, texts, strict=True)) >= 10
    assert all(r.text == t for r, t in zip(read, texts, strict=True) if r.accepted)
    # what the first look takes for letters round them does not count against the plates
    assert sum(r.accepted for r in read) >= 9


def test_where_a_plate_leans_much_the_first_look_does_not_count(
    recognizer: Recognizer, detector: Detector
) -> None:
    rng = np.random.default_rng(7)
    texts = [random_text(rng) for _ in range(16)]
    turns = [25.0 if rng.random() < 0.5 else -25.0 for _ in texts]
    crops = [
        leaning(render_plate(text, px_per_mm=0.16, rng=rng), turn, rng)
        for text, turn in zip(texts, turns, strict=True)
    ]
    read = CropReader(recognizer, lambda: detector).predict(crops)
    assert all(r.text == t for r, t in zip(read, texts, strict=True) if r.accepted)
    assert sum(r.accepted for r in read) >= 14  # with the first look 10


def test_a_plate_far_from_filling_its_crop_is_read_from_all_its_pixels(
    recognizer: Recognizer, detector: Detector
) -> None:
    rng = np.random.default_rng(5)
    texts = [random_text(rng) for _ in range(6)]
    crops = [loose(render_plate(text, px_per_mm=0.4, rng=rng), rng, 5) for text in texts]
    read = CropReader(recognizer, lambda: detector).predict(crops)
    found = [r for r in read if r.raw]
    assert len(found) >= 5
    assert sum(r.accepted and r.text == t for r, t in zip(read, texts, strict=True)) >= 5


def test_what_is_surely_read_on_one_line_is_not_looked_at_again(recognizer: Recognizer) -> None:
    plate = render_plate("A301PO174", px_per_mm=0.4)
    (text,) = CropReader(recognizer, never).predict([plate])
    assert text == recognizer.predict(plate)
    assert text.accepted
    assert text.confidence >= 0.999


def test_two_lines_are_looked_at_again_though_they_are_accepted(
    recognizer: Recognizer, detector: Detector
) -> None:
    """Where they do not lie level the region's last digit is easily left out."""
    plate = render_plate("O565CE172", "ru-1a", px_per_mm=0.6)
    loads = []

    def load() -> Detector:
        loads.append(1)
        return detector

    assert recognizer.predict(plate).lines == 2
    (text,) = CropReader(recognizer, load).predict([plate])
    assert loads == [1]
    assert (text.text, text.accepted, text.lines) == ("O565CE172", True, 2)


def test_where_nothing_is_nothing_is_read(recognizer: Recognizer, detector: Detector) -> None:
    empty = [np.full((40, 160, 3), shade, np.uint8) for shade in (0, 128, 255)]
    for text in CropReader(recognizer, lambda: detector).predict(empty):
        assert not text.text
        assert not text.accepted


def test_order_is_kept_and_the_detector_is_loaded_once(
    recognizer: Recognizer, detector: Detector
) -> None:
    loads = []

    def load() -> Detector:
        loads.append(1)
        return detector

    rng = np.random.default_rng(4)
    plate = render_plate("A301PO174", px_per_mm=0.4)
    other = loose(render_plate("M765AT77", px_per_mm=0.35), rng)
    reader = CropReader(recognizer, load)
    read = reader.predict([other, plate, np.full((40, 160), 90, np.uint8), other[..., 0]])
    assert [r.text for r in read] == ["M765AT77", "A301PO174", "", "M765AT77"]
    reader.predict([other])
    assert loads == [1]


def test_what_is_higher_than_any_plate_is_not_looked_at_again(recognizer: Recognizer) -> None:
    tall = np.full((6000, 2, 3), 90, np.uint8)
    assert not CropReader(recognizer, never).predict([tall])[0].accepted
