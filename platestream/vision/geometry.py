"""Geometry of plates in pictures: corners, boxes, overlaps, and warping flat."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Corners = npt.NDArray[np.float32]
Box = tuple[float, float, float, float]

SMALLER_FROM = 0.6  # of ``shrinking``: from there on a warp alone would skip too much
_LEAST_SIDE = 1.0  # pixels; what is thinner than this has no picture to warp

_BESIDE = 0.06
"""Of a plate's width: where there is less picture beside it, its end may be cut. Of plates in 45
photographs, cut by the picture's edge step by step, all that were read wrongly, and surely, had
less than 0.055; the corners of a plate that is cut lie where the picture ends, or near."""
_ABOVE = 0.25
"""Of a plate's height: where the edge takes more, characters are cut. Those that were read wrongly
had lost 0.3 and more."""


def bounding_box(corners: Corners) -> Box:
    """The axis-aligned box round four corners: x1, y1, x2, y2 in pixels."""
    (x1, y1), (x2, y2) = corners.min(0), corners.max(0)
    return float(x1), float(y1), float(x2), float(y2)


def may_be_cut(corners: Corners, height: int, width: int) -> bool:
    """Whether the edge of the picture may have taken a part of a plate that matters for its text.

    Args:
        corners: 4x2: top-left, top-right, bottom-right, bottom-left of the plate, in pixels; they
            may lie outside.
        height, width: The picture's.
    """
    across = np.array([-_BESIDE, 1 + _BESIDE], np.float32)[:, None]
    tl, tr, br, bl = corners
    top, bottom = tl + across * (tr - tl), bl + across * (br - bl)
    middle = np.concatenate([top + y * (bottom - top) for y in (_ABOVE, 1 - _ABOVE)])
    return bool((middle < 0).any() or (middle > (width, height)).any())


def order_corners(corners: Corners) -> Corners:
    """Puts four corners of a plate that is wider than high, and not upside down, into order.

    Args:
        corners: 4x2, in any order.

    Returns:
        4x2 float32: top-left, top-right, bottom-right, bottom-left.
    """
    points = np.asarray(corners, np.float32)
    centre = points.mean(0)
    angles = np.arctan2(points[:, 1] - centre[1], points[:, 0] - centre[0])
    ring = points[np.argsort(angles)]  # clockwise on the screen, y down
    sides = np.linalg.norm(ring - np.roll(ring, -1, 0), axis=1)
    # of the two long sides, the one whose middle is higher is the top
    long = 0 if sides[0] + sides[2] >= sides[1] + sides[3] else 1
    middles = (ring + np.roll(ring, -1, 0)) / 2
    top = long if middles[long, 1] <= middles[long + 2, 1] else long + 2
    return np.roll(ring, -top, 0).astype(np.float32)


def box_iou(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Intersection over union of every box of one list with every box of another.

    Args:
        a: Nx4, x1, y1, x2, y2.
        b: Mx4.

    Returns:
        NxM float32, 0 to 1.
    """
    a, b = a.reshape(-1, 4).astype(np.float32), b.reshape(-1, 4).astype(np.float32)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    area_a = np.prod(a[:, 2:] - a[:, :2], axis=1)[:, None]
    area_b = np.prod(b[:, 2:] - b[:, :2], axis=1)[None]
    union = np.maximum(area_a + area_b - shared, np.float32(1e-9))
    overlap: npt.NDArray[np.float32] = (shared / union).astype(np.float32)
    return overlap


def suppress(
    boxes: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], overlap: float
) -> list[int]:
    """Non-maximum suppression: which boxes stay when the surest of overlapping ones wins.

    Args:
        boxes: Nx4.
        scores: N.
        overlap: The largest intersection over union that two boxes that stay may have.

    Returns:
        Indices, the surest first.
    """
    left: list[int] = np.argsort(-scores).tolist()
    apart = (box_iou(boxes, boxes) <= overlap).tolist()
    kept: list[int] = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [i for i in left if apart[best][i]]
    return kept


def warp_plate(image: Image, corners: Corners, size: tuple[int, int], margin: float = 0.0) -> Image:
    """Warps a plate flat.

    Args:
        image: HxWx3 uint8 BGR or HxW uint8 grey.
        corners: 4x2 pixels: top-left, top-right, bottom-right, bottom-left.
        size: Width and height of the result, in pixels.
        margin: Takes so much more on every side, as a share of the plate's width and height.

    Returns:
        The plate, with as many channels as the image; beyond the image its edge goes on.

    Raises:
        ValueError: The corners do not span a quadrilateral.
    """
    image, points = _shrunk(image, spanning(corners), size[0])
    matrix = cv2.getPerspectiveTransform(points, flat_corners(size, margin))
    return cv2.warpPerspective(
        image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.uint8)


def spanning(corners: Corners) -> Corners:
    """Four corners as 4x2 float32.

    Raises:
        ValueError: They do not span a quadrilateral.
    """
    points = np.asarray(corners, np.float32).reshape(4, 2)
    if not np.isfinite(points).all() or abs(cv2.contourArea(points)) < _LEAST_SIDE**2:
        raise ValueError(f"corners {points.tolist()} do not span a plate")
    return points


def flat_corners(size: tuple[int, int], margin: float) -> Corners:
    """Where a plate's corners lie once it is flat; see ``warp_plate``."""
    width, height = size
    dx, dy = width * margin / (1 + 2 * margin), height * margin / (1 + 2 * margin)
    return np.array(
        [[dx, dy], [width - dx, dy], [width - dx, height - dy], [dx, height - dy]], np.float32
    )


def shrinking(points: Corners, width: int) -> float:
    """Pixels of a flat plate so wide for one of the picture's, along the plate's upper side."""
    return width / max(1.0, float(np.linalg.norm(points[1] - points[0])))


def aspect(corners: Corners) -> float:
    """A plate's width by its height, from the lengths of its sides as they are seen."""
    points = np.asarray(corners, np.float64).reshape(4, 2)
    sides = np.linalg.norm(points - np.roll(points, -1, 0), axis=1)
    return float((sides[0] + sides[2]) / max(1e-6, sides[1] + sides[3]))


def _shrunk(image: Image, points: Corners, width: int) -> tuple[Image, Corners]:
    """Makes a plate much larger than what it is warped to smaller first: a warp alone skips pixels.

    Args:
        points: 4x2 float32 pixels.
        width: Of the result, in pixels.
    """
    scale = shrinking(points, width)
    if scale > SMALLER_FROM:
        return image, points
    x1, y1, x2, y2 = bounding_box(points)
    pad = 0.2 * (x2 - x1)
    left, top = max(0, int(x1 - pad)), max(0, int(y1 - pad))
    part = image[top : max(top + 1, int(y2 + pad)), left : max(left + 1, int(x2 + pad))]
    if not part.size:
        return image, points
    small = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    real = np.array([small.shape[1] / part.shape[1], small.shape[0] / part.shape[0]], np.float32)
    moved = (points - np.array([left, top], np.float32)) * real
    return small.astype(np.uint8), moved.astype(np.float32)
