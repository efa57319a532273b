"""The detector's output map: a plate's centre where its heat peaks, and four corners there."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

GRID = 64  # the network halves its input six times: sides must be multiples of this
STRIDE = 8  # pixels of the network's input per cell of the map
OFFSET_SCALE = 32.0  # pixels that an offset of 1 stands for

Array = npt.NDArray[np.float32]


def decode_map(found: Array, score_threshold: float, most: int) -> tuple[Array, Array]:
    """Reads the peaks of one output map.

    Args:
        found: 9xHxW float32, as ``PlateCentres`` gives it.
        score_threshold: The least score, 0 to 1, of a peak.
        most: How many peaks at most, the surest first.

    Returns:
        Corners Nx4x2 in pixels of the network's input, and scores N, both float32.
    """
    heat = found[0]
    height, width = heat.shape
    rows, columns = np.divmod(np.flatnonzero(heat >= _logit(score_threshold)), width)
    if len(rows):  # a peak is no lower than its eight neighbours; few cells need to be looked at
        padded = np.full((height + 2, width + 2), -np.inf, heat.dtype)
        padded[1:-1, 1:-1] = heat
        around = (np.arange(3)[:, None] * (width + 2) + np.arange(3)).ravel()
        cells = (rows * (width + 2) + columns)[:, None] + around
        peaks = heat[rows, columns] >= padded.ravel()[cells].max(1)
        rows, columns = rows[peaks], columns[peaks]
    order = np.argsort(-heat[rows, columns], kind="stable")[:most]
    rows, columns = rows[order], columns[order]
    scores = 1 / (1 + np.exp(-heat[rows, columns].astype(np.float64)))
    centres = (np.stack([columns, rows], -1).astype(np.float32) + np.float32(0.5)) * STRIDE
    offsets = found[1:, rows, columns].T.reshape(-1, 4, 2) * np.float32(OFFSET_SCALE)
    return (centres[:, None] + offsets).astype(np.float32), scores.astype(np.float32)


def _logit(share: float) -> float:
    if share <= 0:
        return -math.inf
    return math.log(share / (1 - share)) if share < 1 else math.inf
