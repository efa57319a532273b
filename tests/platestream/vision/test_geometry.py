"""Corners, boxes and warps."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from platestream.vision.geometry import (
    bounding_box,
    box_iou,
    may_be_cut,
    order_corners,
    suppress,
    warp_plate,
)

QUAD = np.array([[10, 20], [110, 30], [108, 52], [9, 44]], np.float32)


def test_any_order_of_corners_is_put_right() -> None:
    for order in itertools.permutations(range(4)):
        assert (order_corners(QUAD[list(order)]) == QUAD).all()


def test_boxes_and_overlaps() -> None:
    assert bounding_box(QUAD) == (9, 20, 110, 52)
    a = np.array([[0, 0, 10, 10]], np.float32)
    b = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]], np.float32)
    assert box_iou(a, b)[0] == pytest.approx([1, 1 / 3, 0])


def test_of_overlapping_boxes_the_surest_stays() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 0, 60, 10]], np.float32)
    assert suppress(boxes, np.array([0.5, 0.9, 0.4], np.float32), 0.3) == [1, 2]
    assert suppress(boxes[:0], np.zeros(0, np.float32), 0.3) == []


def test_a_warp_brings_the_plate_flat() -> None:
    image = np.zeros((80, 140, 3), np.uint8)
    cv2.fillConvexPoly(image, QUAD.astype(np.int32), (0, 255, 0))
    flat = warp_plate(image, QUAD, (100, 25))
    assert flat.shape == (25, 100, 3)
    assert flat[4:-4, 4:-4, 1].min() > 200
    wide = warp_plate(image, QUAD, (100, 25), margin=0.3)
    assert wide[:2].max() < 60  # what lies round the plate is now seen too
    assert wide[12, 50, 1] > 200


def test_grey_pictures_and_corners_outside_are_fine() -> None:
    grey = np.full((20, 20), 99, np.uint8)
    assert (warp_plate(grey, QUAD - 15, (64, 16)) == 99).all()


@pytest.mark.parametrize("corners", [np.zeros((4, 2)), np.full((4, 2), np.nan)])
def test_degenerate_corners_are_refused(corners: np.ndarray) -> None:
    with pytest.raises(ValueError, match="do not span"):
        warp_plate(np.zeros((9, 9, 3), np.uint8), corners, (64, 16))


@pytest.mark.parametrize(
    ("move", "cut"),
    [
        ((0, 0), False),
        ((-90, 0), True),  # 10 pixels left of it; 6% of its width are 12
        ((-85, 0), False),
        ((88, 0), False),
        ((90, 0), True),
        ((0, -110), False),  # a fifth of its height is above
        ((0, -113), True),
        ((0, 59), False),
        ((0, 63), True),
    ],
)
def test_a_plate_near_the_edge_of_the_picture_may_be_cut(move: tuple[int, int], cut: bool) -> None:
    plate = np.array([[100, 100], [300, 100], [300, 150], [100, 150]], np.float32)
    assert may_be_cut(plate + np.array(move, np.float32), 200, 401) == cut


def test_a_leaning_plate_is_cut_where_its_own_end_is() -> None:
    plate = np.array([[96, 10], [296, 110], [276, 150], [76, 50]], np.float32)
    assert not may_be_cut(plate, 200, 320)
    assert may_be_cut(plate, 200, 300)
