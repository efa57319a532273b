"""Small pictures between BGR and planes of YUV with 4:2:0 chroma."""

from __future__ import annotations

import functools

import cv2
import numpy as np
import numpy.typing as npt

from platestream.colour import Colour, Matrix

Image = npt.NDArray[np.uint8]

# of red and blue in luma: ITU-R BT.601-7 2.5.1, BT.709-6 3.2
_WEIGHTS: dict[Matrix, tuple[float, float]] = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
}


def to_bgr(y: Image, u: Image, v: Image, colour: Colour) -> Image:
    """Makes BGR of planes with 4:2:0 chroma, each chroma sample for its four pixels.

    Args:
        y: HxW uint8, both sides even.
        u, v: (H/2)x(W/2) uint8.

    Returns:
        HxWx3 uint8 BGR, rounded to the nearest.
    """
    size = (y.shape[1], y.shape[0])
    wide = [cv2.resize(p, size, interpolation=cv2.INTER_NEAREST) for p in (u, v)]
    return cv2.transform(cv2.merge([y, *wide]), yuv_to_bgr(colour)).astype(np.uint8, copy=False)


def from_bgr(image: Image, colour: Colour) -> tuple[Image, Image, Image]:
    """Makes planes with 4:2:0 chroma, the mean of four pixels, of BGR.

    Args:
        image: HxWx3 uint8 BGR, both sides even.

    Returns:
        Y (HxW), U and V ((H/2)x(W/2)), uint8.
    """
    half = (image.shape[1] // 2, image.shape[0] // 2)
    y, u, v = cv2.split(cv2.transform(image, _bgr_to_yuv(colour)))
    small = (cv2.resize(p, half, interpolation=cv2.INTER_AREA) for p in (u, v))
    y, u, v = (p.astype(np.uint8, copy=False) for p in (y, *small))
    return y, u, v


@functools.cache
def _bgr_to_yuv(colour: Colour) -> npt.NDArray[np.float64]:
    """3x4: what YUV is of (B, G, R, 1); offsets for 8 bits, quantised as BT.601-7 2.5.3."""
    red, blue = _WEIGHTS[colour.matrix]
    luma = np.array([blue, 1 - red - blue, red])
    u = (np.array([1.0, 0.0, 0.0]) - luma) / (2 * (1 - blue))
    v = (np.array([0.0, 0.0, 1.0]) - luma) / (2 * (1 - red))
    heights = (1.0, 1.0, 1.0) if colour.full_range else (219 / 255, 224 / 255, 224 / 255)
    offsets = (0.0 if colour.full_range else 16.0, 128.0, 128.0)
    return np.column_stack([np.array([luma, u, v]) * np.array(heights)[:, None], offsets])


@functools.cache
def yuv_to_bgr(colour: Colour) -> npt.NDArray[np.float64]:
    """3x4: what BGR is of (Y, U, V, 1)."""
    forth = _bgr_to_yuv(colour)
    back = np.linalg.inv(forth[:, :3])
    return np.column_stack([back, -back @ forth[:, 3]])
