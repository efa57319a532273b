"""Characters as masks: strokes drawn once with flat ends, then scaled to any size and kept."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from training.synthesis.strokes import strokes, width

Mask = npt.NDArray[np.uint8]

_MASTER = 192  # pixels of height at which a character is drawn
_PENS, _ROUNDS = 80, 4  # steps of pen and rounding: few, so that masks are found again
_MARGIN = 24  # pixels round it, so that rounding its corners sees where it ends
_SMOOTH_TURN = 0.6  # radians; a stroke that turns by less is a curve
_MITRE_TURN = 2.0  # radians; one that turns by more has a corner too sharp for a mitre


def glyph(char: str, height: int, stretch: float = 1.0, pen: float = 0.15, round_: float = 0.3
          ) -> Mask:  # fmt: skip
    """A character's mask: how much of each pixel its ink covers.

    Args:
        char: One of ``strokes.SIGNS``.
        height: Pixels.
        stretch: Its width, relative to the usual one.
        pen: The stroke's width as a share of the height; taken to the nearest eightieth.
        round_: Radius of the corners as a share of the pen; taken to the nearest quarter.

    Returns:
        HxW uint8, read-only: kept and handed out again.

    Raises:
        ValueError: There is no such character.
    """
    size = (max(1, round(height * width(char) * stretch)), max(1, height))
    return _scaled(char, size, round(pen * _PENS), round(round_ * _ROUNDS))


@lru_cache(maxsize=60_000)
def _scaled(char: str, size: tuple[int, int], pen: int, round_: int) -> Mask:
    master = (
        _half_master(char, pen, round_) if size[1] < _MASTER // 3 else _master(char, pen, round_)
    )
    mode = cv2.INTER_AREA if size[1] <= master.shape[0] else cv2.INTER_LINEAR
    mask: Mask = cv2.resize(master, size, interpolation=mode).astype(np.uint8)
    mask.flags.writeable = False
    return mask


@lru_cache(maxsize=4_000)
def _half_master(char: str, pen: int, round_: int) -> Mask:
    master = _master(char, pen, round_)
    size = (max(1, master.shape[1] // 2), master.shape[0] // 2)
    return np.asarray(cv2.resize(master, size, interpolation=cv2.INTER_AREA))


@lru_cache(maxsize=4_000)
def _master(char: str, pen: int, round_: int) -> Mask:
    shape = (_MASTER + 2 * _MARGIN, round(_MASTER * width(char)) + 2 * _MARGIN)
    mask = np.zeros(shape, np.uint8)
    half = pen / _PENS * _MASTER / 2
    for stroke in strokes(char, pen / _PENS):
        _draw(mask, np.asarray(stroke) * _MASTER + _MARGIN, half)
    mask[:_MARGIN] = mask[-_MARGIN:] = 0
    mask[:, :_MARGIN] = mask[:, -_MARGIN:] = 0
    if round_:
        soft = cv2.GaussianBlur(mask, (0, 0), max(0.5, round_ / _ROUNDS * half))
        mask = ((np.clip(soft, 112, 143) - 112) * 8.0).astype(np.uint8)
    return mask[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN].copy()


def _draw(mask: Mask, points: npt.NDArray[np.float64], half: float) -> None:
    """One stroke: a quadrangle for each straight piece and what is missing between two of them."""
    steps = np.diff(points, axis=0)
    keep = np.hypot(steps[:, 0], steps[:, 1]) > 1e-6
    points = np.concatenate([points[:1], points[1:][keep]])
    steps = steps[keep]
    along = steps / np.hypot(steps[:, 0], steps[:, 1])[:, None]
    normals = np.stack([-along[:, 1], along[:, 0]], 1) * half
    for index, normal in enumerate(normals):
        a, b = points[index], points[index + 1]
        _fill(mask, [a + normal, b + normal, b - normal, a - normal])
        if index == 0:
            continue
        before = along[index - 1]
        cross = before[0] * along[index][1] - before[1] * along[index][0]
        turn = abs(np.arctan2(cross, before @ along[index]))
        outside = -np.sign(cross)
        if turn < _SMOOTH_TURN or turn > _MITRE_TURN:
            centre = (round(a[0] * 16), round(a[1] * 16))
            cv2.circle(mask, centre, round(half * 16), 255, cv2.FILLED, cv2.LINE_AA, 4)
        else:
            out, back = normals[index] * outside, normals[index - 1] * outside
            tip = (out + back) / (1 + before @ along[index])
            _fill(mask, [a, a + back, a + tip, a + out])


def _fill(mask: Mask, corners: list[npt.NDArray[np.float64]]) -> None:
    points = np.rint(np.asarray(corners) * 16).astype(np.int32)
    cv2.fillConvexPoly(mask, points, 255, cv2.LINE_AA, shift=4)
