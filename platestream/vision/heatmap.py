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
    rows, columns = np.nonzero(heat >= _logit(score_threshold))
    if len(rows):  # a peak is no lower than its eight neighbours; few cells need to be looked at
        padded = np.pad(heat, 1, constant_values=-np.inf)
        around = [padded[rows + dy, columns + dx] for dy in range(3) for dx in range(3)]
        peaks = heat[rows, columns] >= np.max(around, axis=0)
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
