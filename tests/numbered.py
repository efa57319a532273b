"""Pictures that show a number, for tests and for the processes that they start."""

from __future__ import annotations

import numpy as np


def numbered_picture(number: int, width: int = 320, height: int = 180) -> np.ndarray:
    """A picture that shows a number in twelve bits, as bright and dark columns at its top."""
    picture = np.full((height, width, 3), 90, np.uint8)
    for bit in range(12):
        left, right = bit * width // 12, (bit + 1) * width // 12
        picture[: height // 3, left:right] = 230 if number >> bit & 1 else 20
    return picture


def number_of(picture: np.ndarray) -> int:
    """The number that ``numbered_picture`` drew."""
    height, width = picture.shape[:2]
    top = picture[4 : height // 3 - 4].mean((0, 2))
    return sum((top[(2 * bit + 1) * width // 24] > 128) << bit for bit in range(12))
