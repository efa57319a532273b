"""The shipped detector where plates are expected."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from platestream.demo import built_in_clip
from platestream.video import VideoSource
from platestream.vision.detector import Detector, Image
from platestream.vision.geometry import Box, box_iou

FRAME = 150  # of the built-in clip, counted from 0
FAR, NEAR = (439, 325, 489, 336), (934, 505, 1045, 528)  # two of its plates, from the clip's truth


@pytest.fixture(scope="module")
def street() -> Image:
    with VideoSource(str(built_in_clip()[0])) as video:
        return next(islice(video.frames(), FRAME, None)).image


def overlap(found: Box, true: Box) -> float:
    return float(box_iou(np.array([found], np.float32), np.array([true], np.float32))[0, 0])


def beside(box: Box, share: float) -> Box:
    x1, y1, x2, y2 = box
    by = share * (x2 - x1)
    return x1 + by, y1 + by / 3, x2 + by, y2 + by / 3


@pytest.mark.parametrize("plate", [FAR, NEAR])
@pytest.mark.parametrize("share", [-0.6, 0.0, 0.6])
def test_a_plate_that_has_moved_by_half_its_width_is_found(
    detector: Detector, street: Image, plate: Box, share: float
) -> None:
    ((found,),) = detector.detect_near([street], [[beside(plate, share)]])
    assert overlap(found.box, plate) > 0.7
    whole = max(detector.detect(street), key=lambda d: overlap(d.box, plate))
    assert overlap(found.box, whole.box) > 0.8  # as exact as when all is looked at


def test_nothing_is_looked_at_but_the_places(detector: Detector, street: Image) -> None:
    dark = np.zeros_like(street)
    found = detector.detect_near([street, street, dark], [[NEAR], [], [NEAR]])
    assert [len(one) for one in found] == [1, 0, 0]
    assert detector.detect_near([], []) == []


def test_two_expectations_of_one_plate_give_it_once(detector: Detector, street: Image) -> None:
    ((one, other),) = detector.detect_near([street], [[FAR, NEAR, beside(NEAR, 0.2)]])
    assert {overlap(one.box, NEAR) > 0.5, overlap(other.box, NEAR) > 0.5} == {True, False}


def test_less_shows_what_is_doubtful_too(detector: Detector, street: Image) -> None:
    sure, all_there_is = detector.detect([street])[0], detector.detect([street], 0.2)[0]
    assert len(all_there_is) > len(sure)
    assert [one.score for one in all_there_is[: len(sure)]] == [one.score for one in sure]
    assert min(one.score for one in all_there_is) >= 0.2


@pytest.mark.parametrize(
    "box", [(-80, -20, 10, 5), (1275, 715, 1400, 740), (0, 0, 1280, 720), (600, 300, 601, 301)]
)
def test_any_place_will_do(detector: Detector, street: Image, box: Box) -> None:
    (found,) = detector.detect_near([street], [[box]])
    assert all(np.isfinite(one.corners).all() for one in found)


@pytest.mark.parametrize(
    ("size", "longest"), [((1280, 720), 1024), ((500, 280), 832), ((100, 40), 320)]
)
def test_small_pictures_are_made_little_larger(
    detector: Detector, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], longest: int
) -> None:
    seen: list[int] = []
    run = detector.network.run

    def watched(batch: np.ndarray) -> np.ndarray:
        seen.append(max(batch.shape[1:3]))
        return run(batch)

    monkeypatch.setattr(detector, "network", replace(detector.network, run=watched))
    detector.detect(np.full((size[1], size[0], 3), 90, np.uint8))
    assert max(seen) == longest


def test_what_is_no_picture_is_refused(detector: Detector) -> None:
    with pytest.raises(ValueError, match="picture of shape"):
        detector.detect_near([np.zeros((0, 5, 3), np.uint8)], [[FAR]])
