"""What a detector makes of a network's output, the network being a fake one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from platestream.vision.backends import Network
from platestream.vision.close_up import CLOSE_UP
from platestream.vision.detector import Detector, Image
from platestream.vision.geometry import warp_plate
from platestream.vision.heatmap import OFFSET_SCALE, STRIDE

HALF = np.array([60.0, 15.0])  # of the plate's sides, in pixels of what the network sees
SIGNS = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
UPRIGHT = SIGNS * HALF
SLANTING = np.array([[-1, -1], [1, 1], [1, 1], [-1, -1]]) * HALF  # on one line, in the same box
POINT = SIGNS * 0.0
ENDLESS = SIGNS * np.inf


class _Plate:
    """One plate in the middle: with proper corners from afar, with others close by."""

    precision = "fp32"

    def __init__(self, far: npt.NDArray[np.float64], near: npt.NDArray[np.float64]) -> None:
        self.corners = {False: far, True: near}

    def __call__(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        count, height, width = batch.shape[:3]
        maps = np.zeros((count, 9, height // STRIDE, width // STRIDE), np.float32)
        maps[:, 0] = -20
        row, column = maps.shape[2] // 2, maps.shape[3] // 2
        maps[:, 0, row, column] = 3
        corners = self.corners[(width, height) == CLOSE_UP]
        maps[:, 1:, row, column] = (corners / OFFSET_SCALE).ravel()
        return maps


@pytest.fixture
def picture() -> Image:
    return np.random.default_rng(0).integers(0, 255, (640, 640, 3), dtype=np.uint8)


def _detector(far: npt.NDArray[np.float64], near: npt.NDArray[np.float64]) -> Detector:
    return Detector(Network(Path("fake"), "fake", _Plate(far, near), {}), 0.4, long_side=640)


def test_corners_of_the_second_look_count(picture: Image) -> None:
    wider = UPRIGHT * [1.1, 1.3]
    (found,) = _detector(UPRIGHT, wider).detect(picture)
    assert np.ptp(found.corners[:, 1]) / np.ptp(found.corners[:, 0]) == pytest.approx(
        np.ptp(wider[:, 1]) / np.ptp(wider[:, 0]), rel=1e-3
    )


@pytest.mark.parametrize("near", [SLANTING, POINT, ENDLESS], ids=["line", "point", "endless"])
def test_corners_that_span_nothing_never_come_out_of_the_second_look(
    picture: Image, near: npt.NDArray[np.float64]
) -> None:
    detector = _detector(UPRIGHT, near)
    (found,) = detector.detect([picture], 0.05)[0]
    assert np.ptp(found.corners, axis=0) == pytest.approx(2 * HALF)  # those of the first look
    assert warp_plate(picture, found.corners, (192, 48)).shape == (48, 192, 3)
    assert detector.detect_near([picture], [[(260, 305, 380, 335)]]) == [[]]


@pytest.mark.parametrize("far", [SLANTING, POINT, ENDLESS], ids=["line", "point", "endless"])
def test_corners_that_span_nothing_are_no_candidates(
    picture: Image, far: npt.NDArray[np.float64]
) -> None:
    assert _detector(far, UPRIGHT).detect(picture) == []
