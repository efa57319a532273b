"""Tiles: parts of a large picture, looked at each for itself, and what was found in them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float32]

_EDGE = 2.0  # pixels; what comes nearer to a cut edge is taken for a part of something
_WITHIN = 0.6  # of the smaller box; then both are of one thing


class Tile(NamedTuple):
    """A part of a picture, in its pixels: left, top, right, bottom."""

    x1: int
    y1: int
    x2: int
    y2: int


def tiles(width: int, height: int, side: int, overlap: int) -> list[Tile]:
    """Covers a picture evenly with as few tiles as will do, in rows from the top left.

    Args:
        side: The most pixels a tile is wide or high.
        overlap: The least pixels that neighbours share, fewer than ``side``: what is no larger
            lies whole in one of them.

    Raises:
        ValueError: The overlap is not smaller than the side.
    """
    if not 0 <= overlap < side:
        raise ValueError(f"tiles of {side} px cannot overlap by {overlap}")
    return [
        Tile(x1, y1, x2, y2)
        for y1, y2 in _spans(height, side, overlap)
        for x1, x2 in _spans(width, side, overlap)
    ]


def _spans(length: int, side: int, overlap: int) -> list[tuple[int, int]]:
    if length <= side:
        return [(0, length)]
    count = -(-(length - overlap) // (side - overlap))
    starts = np.linspace(0, length - side, count).round().astype(int)
    return [(int(start), int(start) + side) for start in starts]


def is_cut(box: npt.NDArray[np.float32], tile: Tile, width: int, height: int) -> bool:
    """Whether a box reaches an edge of its tile that is not the picture's own.

    Args:
        box: x1, y1, x2, y2 in pixels of the picture, ``width`` x ``height``.
    """
    return bool(
        (tile.x1 > 0 and box[0] < tile.x1 + _EDGE)
        or (tile.y1 > 0 and box[1] < tile.y1 + _EDGE)
        or (tile.x2 < width and box[2] > tile.x2 - _EDGE)
        or (tile.y2 < height and box[3] > tile.y2 - _EDGE)
    )


def merge(boxes: Boxes, scores: npt.NDArray[np.float32]) -> list[int]:
    """Which of the detections of several tiles stay: of one thing the surest.

    Two boxes are of one thing if their intersection is most of the smaller one; a part of a plate
    then goes with its whole, which intersection over union would keep apart.

    Args:
        boxes: Nx4, x1, y1, x2, y2.
        scores: N.

    Returns:
        Indices, the surest first.
    """
    areas = np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), 1e-9)
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        low = np.maximum(boxes[index, :2], boxes[kept, :2])
        high = np.minimum(boxes[index, 2:], boxes[kept, 2:])
        shared = np.prod(np.clip(high - low, 0, None), axis=1)
        if not (shared / np.minimum(areas[index], areas[kept]) > _WITHIN).any():
            kept.append(int(index))
    return kept
