"""Pictures spoiled on purpose."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from training.spoiling import WAYS

BOX = (220.0, 150.0, 420.0, 194.0)


@pytest.fixture
def picture() -> np.ndarray:
    """A grey street with a white plate that has dark strokes."""
    image = np.full((360, 640, 3), 90, np.uint8)
    cv2.rectangle(image, (220, 150), (419, 193), (230, 230, 230), -1)
    for x in range(235, 410, 20):
        cv2.rectangle(image, (x, 160), (x + 5, 184), (20, 20, 20), -1)
    return image


@pytest.mark.parametrize("name", WAYS)
def test_every_way_changes_the_picture_and_knows_where_the_plate_went(
    name: str, picture: np.ndarray
) -> None:
    before = picture.copy()
    spoiled, matrix = WAYS[name](picture, BOX, np.random.default_rng(0))
    assert (picture == before).all()
    assert spoiled.shape == picture.shape
    assert spoiled.dtype == np.uint8
    assert (spoiled != picture).mean() > 0.002
    again, _ = WAYS[name](picture, BOX, np.random.default_rng(0))
    assert (spoiled == again).all()
    (((at_x, at_y),),) = cv2.perspectiveTransform(np.array([[[320.0, 172.0]]]), matrix)
    # on the plate it is brighter than on the street, however dark that is
    plate = cv2.getRectSubPix(spoiled, (15, 9), (float(at_x), float(at_y))).mean()
    street = cv2.getRectSubPix(spoiled, (15, 9), (float(at_x), float(at_y) + 100)).mean()
    assert plate > street


def test_a_turned_plate_is_narrower_and_a_leaning_one_higher(picture: np.ndarray) -> None:
    def extent(name: str) -> tuple[float, float]:
        _, matrix = WAYS[name](picture, BOX, np.random.default_rng(0))
        corners = np.array([[[220, 150], [420, 150], [420, 194], [220, 194]]], np.float64)
        (moved,) = cv2.perspectiveTransform(corners, matrix)
        return float(np.ptp(moved[:, 0])), float(np.ptp(moved[:, 1]))

    width, height = extent("turned by 45 degrees")
    assert width == pytest.approx(200 * np.cos(np.pi / 4), rel=0.05)
    assert height == pytest.approx(44, rel=0.2)
    width, height = extent("leaning by 20 degrees")
    assert height == pytest.approx(200 * np.sin(np.radians(20)) + 44 * np.cos(np.radians(20)), 0.02)
