"""The shipped models on synthetic plates, and on pictures of every shape."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from platestream import plates
from platestream.demo import built_in_clip
from platestream.video import VideoSource
from platestream.vision.crop_reader import CropReader
from platestream.vision.decoding import PlateText
from platestream.vision.detector import Detection, Detector
from platestream.vision.geometry import box_iou
from platestream.vision.reader import PICTURE_TILE, PlateReader
from platestream.vision.recognizer import Recognizer, better
from training.synthesis.plate import random_text, render_plate
from training.synthesis.scene import Car, Street


def test_clean_plates_are_read(recognizer: Recognizer) -> None:
    rng = np.random.default_rng(5)
    texts = [random_text(rng) for _ in range(40)]
    read = recognizer.predict([render_plate(text, rng=rng) for text in texts])
    assert sum(r.text == t for r, t in zip(read, texts, strict=True)) >= 38
    assert all(plates.format_of(r.text) for r in read if r.accepted)


def test_a_text_mostly_sure_is_worth_more_than_none() -> None:
    nothing = PlateText("", 0.93, (), False)
    half_read = PlateText("A516HY??", 0.07, (), False, "A516HY38", lines=2)
    doubtful = PlateText("E??????1", 0.01, (), False, "E249B71")
    fitting = PlateText("A516HY88", 0.91, (), True, "A516HY88", "ru-1a", lines=2)
    assert better(nothing, half_read) is half_read
    assert better(nothing, doubtful) is nothing
    assert better(half_read, fitting) is fitting


def test_one_and_many_and_grey_come_to_the_same(recognizer: Recognizer) -> None:
    plate = render_plate("A301PO174", px_per_mm=0.4)
    alone = recognizer.predict(plate)
    assert alone.text == "A301PO174"
    assert alone.accepted
    assert alone.confidence == pytest.approx(min(c.confidence for c in alone.characters))
    grey = plate.mean(2).astype(np.uint8)
    assert [r.text for r in recognizer.predict([plate, grey, plate])] == ["A301PO174"] * 3
    assert recognizer.predict([]) == []


def test_nothing_is_read_where_nothing_is(recognizer: Recognizer) -> None:
    for shade in (0, 128, 255):
        read = recognizer.predict(np.full((40, 160, 3), shade, np.uint8))
        assert not read.accepted


@pytest.mark.parametrize("size", [(1, 1), (3, 300), (271, 481), (40, 60), (720, 1280)])
def test_any_size_will_do(
    recognizer: Recognizer, detector: Detector, size: tuple[int, int]
) -> None:
    for shape in (size, (*size, 3)):
        picture = np.full(shape, 90, np.uint8)
        recognizer.predict(picture)
        assert isinstance(detector.detect(picture), list)


@pytest.mark.parametrize("kind", ["ru-1", "ru-1a"])
@pytest.mark.parametrize("share", [0.55, 0.85])
def test_a_plate_that_nearly_fills_the_picture_is_found(
    detector: Detector, kind: str, share: float
) -> None:
    """Of six drawn ones all but one at most: some come near the threshold, on either side of it."""
    overlaps = []
    for seed in range(6, 12):
        rng = np.random.default_rng(seed)
        plate = render_plate(random_text(rng, kind), kind, px_per_mm=2, rng=rng)
        picture = rng.normal(80, 10, (600, 900, 3)).clip(0, 255).astype(np.uint8)
        width = round(900 * share)
        height = min(580, round(width * plate.shape[0] / plate.shape[1]))
        x, y = (900 - width) // 2, (600 - height) // 2
        picture[y : y + height, x : x + width] = cv2.resize(plate, (width, height))
        picture = cv2.GaussianBlur(picture, (0, 0), 1.2).astype(np.uint8)
        true = np.array([[x, y, x + width, y + height]], np.float32)
        for one in detector.detect(picture):
            overlaps.append(float(box_iou(np.array([one.box], np.float32), true)[0, 0]))
    assert 5 <= len(overlaps) <= 6
    assert min(overlaps) > 0.5
    assert np.mean(overlaps) > 0.7


@pytest.mark.parametrize(
    "bad", [np.zeros((0, 5, 3), np.uint8), np.zeros((5, 5, 4), np.uint8), np.zeros((5, 5))]
)
def test_what_is_no_picture_is_refused(
    recognizer: Recognizer, detector: Detector, bad: np.ndarray
) -> None:
    for predict in (recognizer.predict, detector.detect):
        with pytest.raises(ValueError, match="picture of shape"):
            predict(bad)


@pytest.mark.parametrize("bad", [None, "a.png", [[1, 2], [3, 4]]])
def test_what_is_no_array_is_refused(
    recognizer: Recognizer, detector: Detector, bad: object
) -> None:
    reader, crops = PlateReader(detector, recognizer), CropReader(recognizer, lambda: detector)
    for predict in (recognizer.predict, detector.detect, reader.read, crops.predict):
        with pytest.raises(ValueError, match="a picture is wanted"):
            predict([bad])  # type: ignore[operator]


def test_a_single_picture_is_not_taken_for_as_many_as_it_has_rows(
    recognizer: Recognizer, detector: Detector
) -> None:
    reader, crops = PlateReader(detector, recognizer), CropReader(recognizer, lambda: detector)
    picture = np.zeros((40, 100, 3), np.uint8)
    for predict in (reader.read, crops.predict):
        for single in (picture, picture[..., 0]):
            with pytest.raises(ValueError, match="a sequence of pictures is wanted"):
                predict(single)  # type: ignore[operator]
        assert len(predict(np.stack([picture] * 2))) == 2  # type: ignore[operator]


def test_plates_of_the_built_in_clip_are_found_and_read(
    recognizer: Recognizer, detector: Detector
) -> None:
    clip, truth = built_in_clip()
    reader = PlateReader(detector, recognizer)
    found = wide = right = 0
    with VideoSource(str(clip)) as video:
        for number, frame in enumerate(video.frames()):
            if number % 15:
                continue
            read = reader.read([frame.image])[0]
            boxes = np.array([p.detection.box for p in read], np.float32).reshape(-1, 4)
            for text, flat in truth["corners"][number].items():
                quad = np.array(flat, np.float32).reshape(4, 2)
                if np.ptp(quad[:, 0]) < 60:
                    continue
                wide += 1
                shared = box_iou(np.array([[*quad.min(0), *quad.max(0)]], np.float32), boxes)[0]
                if len(shared) and shared.max() > 0.5:
                    found += 1
                    right += read[int(shared.argmax())].text.text == text
    assert wide >= 10
    assert found / wide > 0.9
    assert right / wide > 0.7


def test_a_plate_s_box_in_a_picture_ends_where_the_picture_does() -> None:
    corners = np.array([[-4, 80], [40, 82], [39, 104], [-5, 102]], np.float32)
    assert Detection(corners, 0.9).box == (-5, 80, 40, 104)
    assert Detection(corners, 0.9).box_in(np.zeros((100, 200), np.uint8)) == (0, 80, 40, 100)


def test_plates_that_are_small_in_a_large_picture_are_seen_better_in_parts_of_it() -> None:
    frame, _ = Street([Car("A301PO174", (40, 40, 160), -1.7, 7.0, 6.0)], 3).frame(0.0)
    part = cv2.resize(frame, None, fx=0.29, fy=0.29, interpolation=cv2.INTER_AREA)
    picture = np.full((1080, 1920, 3), 115, np.uint8)
    picture[300 : 300 + part.shape[0], 900 : 900 + part.shape[1]] = part
    scores = []
    for tile in (0, PICTURE_TILE):
        (plate,) = PlateReader.load(threads=1, tile=tile).read([picture])[0]
        x1, _, x2, _ = plate.detection.box
        assert 20 < x2 - x1 < 28
        scores.append(plate.detection.score)
    assert scores[1] > scores[0] + 0.05


def test_a_reader_of_videos_has_all_that_frames_need(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    from platestream.vision.backends.compiled_models import CompiledModels

    reader = PlateReader.load(backend="openvino", threads=1, video=True)
    monkeypatch.delattr(CompiledModels, "get")
    with VideoSource(str(built_in_clip()[0])) as video:
        frames = [frame.image for frame in itertools.islice(video.frames(), 0, 200, 40)]
    assert sum(len(reader.read([frame])[0]) for frame in frames) >= 5
