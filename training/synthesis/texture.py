"""Noise for drawn pictures: cut from one that is drawn once, which costs a tenth of drawing it."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_SIDE = 1024


@lru_cache(maxsize=1)
def _pool() -> Floats:
    return np.random.default_rng(50577).standard_normal((_SIDE, _SIDE)).astype(np.float32)


def noise(rng: np.random.Generator, shape: tuple[int, int], grain: float = 1.0) -> Floats:
    """Noise of zero mean and about unit variance.

    Args:
        shape: Height and width in pixels, 1024 at most.
        grain: Pixels from one independent value to the next; 1 is white noise.

    Returns:
        HxW float32; its own array for a grain above 1, else a view of the pool.
    """
    height, width = shape
    rows, columns = max(2, int(height / grain + 1)), max(2, int(width / grain + 1))
    if grain <= 1:
        rows, columns = height, width
    y, x = (int(v) for v in rng.integers(0, (_SIDE - rows + 1, _SIDE - columns + 1)))
    part = _pool()[y : y + rows, x : x + columns]
    if grain <= 1:
        return part
    return cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
