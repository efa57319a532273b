"""A plate's picture as the recognizer's network wants it: grey, one size, even contrast."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

LEAST_SPREAD = 4.0  # grey levels; a flat picture must not have its noise blown up


def network_input(image: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[np.float32]:
    """Brings a picture of any size to the network's.

    Args:
        image: HxWx3 uint8 BGR or HxW uint8 grey.

    Returns:
        height x width float32 with zero mean and unit variance. The aspect ratio is given up: a
        loose crop and a tight one then look alike.
    """
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    shrink = grey.shape[1] > width and grey.shape[0] > height
    method = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    resized = cv2.resize(grey, (width, height), interpolation=method).astype(np.float32)
    resized -= resized.mean()
    resized /= max(LEAST_SPREAD, float(resized.std()))
    return resized.astype(np.float32)
