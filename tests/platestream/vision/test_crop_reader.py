"""Crops as anybody cuts them: loose, leaning, without a plate."""

from __future__ import annotations

import cv2
import numpy as np

from platestream.vision.crop_reader import CropReader
from platestream.vision.detector import Detector
from platestream.vision.recognizer import Recognizer
from training.synthesis.plate import random_text, render_plate

Image = np.ndarray


def loose(plate: Image, rng: np.random.Generator) -> Image:
    """A plate in a corner of a grey picture twice as wide and four times as high."""
    height, width = plate.shape[:2]
    picture = rng.normal(90, 6, (4 * height, 2 * width, 3)).clip(0, 255).astype(np.uint8)
    y, x = (int(rng.integers(0, side)) for side in (3 * height, width))
    picture[y : y + height, x : x + width] = plate
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


def test_what_is_accepted_is_not_looked_at_again(recognizer: Recognizer) -> None:
    plate = render_plate("A301PO174", px_per_mm=0.4)
    (text,) = CropReader(recognizer, never).predict([plate])
    assert text == recognizer.predict(plate)
    assert text.accepted


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
