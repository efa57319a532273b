"""Corners for plates of which only a box is known: a detector looks at each, enlarged."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from platestream.vision.detector import Detector, close_up
from platestream.vision.geometry import Corners, bounding_box, box_iou
from training.synthesis.paste import into_box

Image = npt.NDArray[np.uint8]

CLOSE_UP_SIDE = 256  # pixels: the long side at which a detector is to look at a close-up
LEAST_OVERLAP = 0.7  # of the box round the fitted corners with the box that is known


def fit_corners(
    detector: Detector, image: Image, box: npt.NDArray[np.float32], *, least: float = LEAST_OVERLAP
) -> Corners | None:
    """Finds the corners of the plate in a box.

    Args:
        detector: Made with ``long_side=CLOSE_UP_SIDE``.
        image: HxWx3 uint8 BGR.
        box: x1, y1, x2, y2 of the plate.
        least: The least intersection over union of the corners' box with the one given.

    Returns:
        4x2 float32 pixels whose axis-aligned box is the one given; None if no plate is seen in
        the box, or it lies otherwise.
    """
    known = np.asarray(box, np.float32).reshape(1, 4)
    corners = find_corners(detector, image, known[0])
    if corners is None:
        return None
    if box_iou(np.array([bounding_box(corners)], np.float32), known)[0, 0] < least:
        return None
    return into_box(corners, known[0])


def find_corners(
    detector: Detector, image: Image, place: npt.NDArray[np.float32]
) -> Corners | None:
    """Finds the corners of the surest plate that lies about at a place; None if there is none.

    Args:
        detector: Made with ``long_side=CLOSE_UP_SIDE``.
        image: HxWx3 uint8 BGR.
        place: x1, y1, x2, y2; the plate's middle lies within.
    """
    x1, y1, x2, y2 = (float(v) for v in place)
    view, matrix = close_up(image, (x1, y1, x2, y2))
    for detection in detector.detect(view):
        corners = cv2.transform(detection.corners[None], matrix)[0].astype(np.float32)
        x, y = corners.mean(0)
        if x1 <= x <= x2 and y1 <= y <= y2 and cv2.isContourConvex(corners):
            return corners
    return None
