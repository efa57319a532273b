"""Labelled pictures of plates in memory, and the views of them that training shows the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from platestream.errors import DataError, SourceError
from platestream.vision.detector import Detector
from platestream.vision.geometry import Corners, bounding_box, order_corners
from platestream.vision.layout import unstack
from training.recognition.crops import Crop, none_readable, read_crop

Image = npt.NDArray[np.uint8]

LINE_SIZE = (256, 64)  # width and height of a view of one line, in pixels
STACK_SIZE = (160, 112)  # of a view of two lines, before they are put side by side
_BORDER = (0.3, 0.6)  # shares of a crop's width and height laid round it for the detector
_DETECTOR_SIDE = 352  # pixels; the plate is then some 200 px wide, which it knows best
LEAST_WIDTH = 0.35  # of the crop's: what is narrower is not the plate that was cropped
_LEAST_HEIGHT = 0.25


@dataclass(frozen=True, eq=False)
class PlatePicture:
    """A plate, with what lies round it.

    Attributes:
        image: HxW uint8 grey.
        text: In reading order; empty where there is no plate.
        box: x1, y1, x2, y2 in pixels of the image: how a person cropped it.
        corners: 4x2 float32 pixels, where the detector is sure of them.
        lines: 1 or 2.
    """

    image: Image
    text: str
    box: tuple[float, float, float, float]
    corners: Corners | None = None
    lines: int = 1


def load(
    crops: Sequence[Crop],
    detector: Detector | None = None,
    left_out: Callable[[str], None] | None = None,
) -> list[PlatePicture]:
    """Reads crops into memory; those that cannot be read are left out.

    Args:
        detector: Looks for the corners of each plate, so that training can also show it warped
            flat, as a reader of whole pictures does.
        left_out: Is told of each that cannot be read, and why.

    Raises:
        DataError: There are crops, and none of them can be read.
    """
    pictures = []
    unreadable = []
    for crop in crops:
        try:
            image, box = read_crop(crop)
        except SourceError as error:
            unreadable.append(str(error))
            if left_out is not None:
                left_out(str(error))
            continue
        corners = None
        if detector is not None and crop.text:
            corners = find_corners(detector, image, box)
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.uint8)
        pictures.append(PlatePicture(grey, crop.text, box, corners, crop.lines))
    if unreadable and not pictures:
        raise DataError(none_readable(unreadable))
    return pictures


def find_corners(
    detector: Detector, image: Image, box: tuple[float, float, float, float]
) -> Corners | None:
    """The corners of the plate that a crop shows; None if the detector does not see it well.

    Args:
        detector: With ``long_side`` 352.
        image: HxWx3 uint8 BGR.
        box: x1, y1, x2, y2 of the crop in it.
    """
    x1, y1, x2, y2 = (round(v) for v in box)
    dx, dy = round(_BORDER[0] * (x2 - x1)), round(_BORDER[1] * (y2 - y1))
    padded = cv2.copyMakeBorder(image, dy, dy, dx, dx, cv2.BORDER_REPLICATE)
    part = np.ascontiguousarray(padded[y1 : y2 + 2 * dy, x1 : x2 + 2 * dx])
    centre = np.array([dx + (x2 - x1) / 2, dy + (y2 - y1) / 2])
    for detection in detector.detect(part.astype(np.uint8)):
        a, b, c, d = bounding_box(detection.corners)
        wide = c - a >= LEAST_WIDTH * (x2 - x1) and d - b >= _LEAST_HEIGHT * (y2 - y1)
        if wide and a <= centre[0] <= c and b <= centre[1] <= d:
            moved = detection.corners + np.array([x1 - dx, y1 - dy], np.float32)
            return moved.astype(np.float32)
    return None


def corner_detector() -> Detector:
    """The shipped detector, set up for crops."""
    return Detector.load(long_side=_DETECTOR_SIDE)


def view(picture: PlatePicture, rng: np.random.Generator) -> Image:
    """A plate as it may come to the network: warped flat, or cropped loosely or tightly.

    Returns:
        HxW uint8 grey of ``LINE_SIZE``, or ``STACK_SIZE`` where it has two lines.
    """
    size = LINE_SIZE if picture.lines == 1 else STACK_SIZE
    if picture.corners is not None and (picture.lines == 2 or rng.random() < 0.55):
        quad = _warp_corners(picture.corners, rng)
    else:
        quad = _crop_corners(picture, rng)
    width, height = size
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    shrink = float(np.linalg.norm(quad[1] - quad[0])) / width
    image = picture.image
    if shrink > 1.6:  # a warp alone would leave jagged edges
        image = cv2.GaussianBlur(image, (0, 0), 0.4 * shrink).astype(np.uint8)
    matrix = cv2.getPerspectiveTransform(quad.astype(np.float32), target)
    flags = cv2.INTER_LINEAR if rng.random() < 0.7 else cv2.INTER_CUBIC
    return cv2.warpPerspective(
        image, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.uint8)


def _warp_corners(corners: Corners, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    quad = order_corners(corners).astype(np.float64)
    across, down = quad[1] - quad[0], quad[3] - quad[0]
    margin_x, margin_y = rng.uniform(-0.01, 0.16), rng.uniform(-0.02, 0.2)
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    quad += signs[:, :1] * across * margin_x + signs[:, 1:] * down * margin_y
    height = float(np.linalg.norm(down))
    quad += rng.normal(0, 0.045, (4, 2)) * height  # a detector's corners are a little off
    return quad.astype(np.float32)


def _crop_corners(picture: PlatePicture, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    x1, y1, x2, y2 = picture.box
    width, height = x2 - x1, y2 - y1
    left, right = rng.uniform(-0.03, 0.2, 2) * (rng.random(2) < 0.6)
    top, bottom = rng.uniform(-0.03, 0.35, 2) * (rng.random(2) < 0.6)
    quad = np.array(
        [
            [x1 - left * width, y1 - top * height],
            [x2 + right * width, y1 - top * height],
            [x2 + right * width, y2 + bottom * height],
            [x1 - left * width, y2 + bottom * height],
        ]
    )
    if rng.random() < 0.5:  # turned and sheared about its middle
        centre = quad.mean(0)
        angle = np.deg2rad(rng.normal(0, 5))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shear = np.array([[1, rng.normal(0, 0.12)], [rng.normal(0, 0.04), 1]])
        quad = (quad - centre) @ turn.T @ shear.T + centre
    if rng.random() < 0.4:
        quad += rng.normal(0, 0.04, (4, 2)) * [height, height]
    return quad.astype(np.float32)


def as_line(image: Image, lines: int) -> Image:
    """A view as one line."""
    return unstack(image) if lines == 2 else image
