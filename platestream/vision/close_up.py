"""Close-ups: a plate enlarged, or made small, to the size at which its corners are found best."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from platestream.vision.geometry import Box

Image = npt.NDArray[np.uint8]

CLOSE_UP = (256, 128)  # width and height in pixels, multiples of ``heatmap.GRID``
SHARE = 0.5  # of its width that the plate takes
SMOOTHED_FROM = 1.5  # pixels of the picture in one of the view; a warp alone would leave jags
SMOOTHING = 0.4  # standard deviation in pixels of the view


def close_up(image: Image, box: Box, share: float = SHARE) -> tuple[Image, npt.NDArray[np.float64]]:
    """A plate and what lies round it; without ``share`` as large as corners are found best.

    Args:
        image: HxWx3 uint8 BGR or HxW uint8 grey.
        box: x1, y1, x2, y2 of the plate in the image.
        share: Of the view's width that the plate takes.

    Returns:
        128x256x3 uint8 BGR with the plate in its middle, and the 2x3 matrix that takes its pixels
        back to the image's.
    """
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR).astype(np.uint8)
    width, height = CLOSE_UP
    back = back_from_close_up(box, share)
    scale = back[0, 0]
    shift = np.zeros((2, 3))
    if scale > SMOOTHED_FROM:  # only what is seen is smoothed
        left, top = np.maximum(0, np.floor(back[:, 2])).astype(int)
        right, bottom = np.ceil(back @ [width, height, 1]).astype(int)
        part = image[top : max(bottom, top + 1), left : max(right, left + 1)]
        if part.size:
            image = cv2.GaussianBlur(part, (0, 0), SMOOTHING * scale).astype(np.uint8)
            shift = np.array([[0.0, 0.0, left], [0.0, 0.0, top]])
            back = back - shift
    view = cv2.warpAffine(
        image,
        back,
        CLOSE_UP,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return view.astype(np.uint8), back + shift


def back_from_close_up(box: Box, share: float) -> npt.NDArray[np.float64]:
    """The 2x3 matrix that takes a close-up's pixels back to the picture's; see ``close_up``."""
    width, height = CLOSE_UP
    x1, y1, x2, y2 = box
    scale = max(1.0, x2 - x1, 2.2 * (y2 - y1)) / (width * share)
    return np.array(
        [
            [scale, 0, (x1 + x2) / 2 - scale * width / 2],
            [0, scale, (y1 + y2) / 2 - scale * height / 2],
        ]
    )
