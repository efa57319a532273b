"""Plates of two lines as one line: what the recognizer reads is always a single line."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

# Shares of the height. The lines of type 1A (290x170 mm, GOST R 50577) meet a little below the
# middle; both parts take in some of the other line, so that a crop that is not tight loses nothing.
_UPPER_ENDS = 0.57
_LOWER_BEGINS = 0.43


def unstack(image: Image) -> Image:
    """Puts the lower line of a two-line plate to the right of the upper one.

    Args:
        image: HxWx3 uint8 BGR or HxW uint8 grey: the plate, warped flat or cropped.

    Returns:
        Twice as wide and 0.57 times as high, with as many channels.
    """
    part, begins = line_rows(image.shape[0])
    upper, lower = image[:part], image[begins:]
    if lower.shape[0] != part:
        lower = cv2.resize(lower, (image.shape[1], part)).astype(np.uint8)
    return np.concatenate([upper, lower], axis=1).astype(np.uint8)


def line_rows(height: int) -> tuple[int, int]:
    """Before which row of a picture so high the upper line ends, and where the lower one begins."""
    return max(1, round(height * _UPPER_ENDS)), min(height - 1, round(height * _LOWER_BEGINS))
