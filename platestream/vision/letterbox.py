"""A picture, or a part of one, brought to the size at which the detector's network sees it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from platestream.vision.heatmap import GRID

Image = npt.NDArray[np.uint8]

GREY = 114  # what the rest of the grid is filled with


def scaled_size(width: int, height: int, long_side: int) -> tuple[int, int]:
    """Width and height of a picture whose longer side is brought to so many pixels."""
    scale = long_side / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def letterbox(image: Image, long_side: int) -> tuple[Image, float]:
    """Scales a picture to the network's size and fills up to its grid at the right and below.

    Returns:
        HxWx3 uint8 BGR with H and W multiples of 64, and the scale that was applied.
    """
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR).astype(np.uint8)
    height, width = image.shape[:2]
    scale = long_side / max(height, width)
    size = scaled_size(width, height, long_side)
    # INTER_AREA is fast at exactly a half, and slow at all else: as slow as the network itself
    while image.shape[1] >= 2 * size[0] and image.shape[0] >= 2 * size[1]:
        half = (image.shape[1] // 2, image.shape[0] // 2)
        image = cv2.resize(image, half, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)
    right, below = -size[0] % GRID, -size[1] % GRID
    image = cv2.copyMakeBorder(
        image, 0, below, 0, right, cv2.BORDER_CONSTANT, value=(GREY, GREY, GREY)
    ).astype(np.uint8, copy=False)
    return image, scale
