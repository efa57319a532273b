"""A plate warped flat, as the recognizer takes it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from platestream.vision.geometry import Corners, aspect, warp_plate

Image = npt.NDArray[np.uint8]

LINE_SIZE = (256, 64)  # width and height in pixels of a flat plate of one line
STACK_SIZE = (192, 112)  # and of one that may have two
WARP_MARGIN = 0.06  # of the plate's sides, so that a corner a little off cuts nothing away
_STACK_ASPECT = 2.6  # a plate seen less wide than this may be square; one line has 4.6


def flatten(image: Image, corners: Corners) -> Image:
    """A plate warped flat, with a little of what lies round it, as the recognizer takes it.

    Args:
        image: HxWx3 uint8 BGR or HxW uint8 grey.
        corners: 4x2 pixels: top-left, top-right, bottom-right, bottom-left.

    Returns:
        64x256, or 112x192 where the plate may have two lines, with as many channels.

    Raises:
        ValueError: The corners do not span a quadrilateral.
    """
    return warp_plate(image, corners, flat_size(corners), margin=WARP_MARGIN)


def flat_size(corners: Corners) -> tuple[int, int]:
    """Width and height in pixels of a plate with these corners once it is flat."""
    return STACK_SIZE if aspect(corners) < _STACK_ASPECT else LINE_SIZE
