"""What planes of YUV mean, by the standards' own formulas, to compare with."""

from __future__ import annotations

import numpy as np

from platestream.colour import Colour
from platestream.picture import I420, Form

COLOURS = [Colour("bt601"), Colour("bt601", True), Colour("bt709"), Colour("bt709", True)]


def expected_bgr(y: np.ndarray, u: np.ndarray, v: np.ndarray, colour: Colour) -> np.ndarray:
    """BT.601-7 2.5 and BT.709-6 3: HxWx3, as floats within 0 and 255."""
    red, blue = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}[colour.matrix]
    luma, chroma = (255.0, 255.0) if colour.full_range else (219.0, 224.0)
    level = (y - (0.0 if colour.full_range else 16.0)) / luma
    cb, cr = ((p.repeat(2, 0).repeat(2, 1) - 128.0) / chroma for p in (u, v))
    r, b = level + 2 * (1 - red) * cr, level + 2 * (1 - blue) * cb
    g = (level - red * r - blue * b) / (1 - red - blue)
    return np.clip(255 * np.stack([b, g, r], -1), 0, 255)


def some_planes(width: int, height: int, colour: Colour, seed: int = 0) -> I420:
    """A picture with much in its luma and soft, moderate colours."""
    rng = np.random.default_rng(seed)
    planes = Form(width, height, colour).empty()
    assert isinstance(planes, I420)
    planes.y[...] = rng.integers(40, 200, planes.y.shape)
    for number, plane in enumerate((planes.u, planes.v)):
        across = np.arange(plane.shape[1]) * 60 // plane.shape[1]
        plane[...] = 100 + (across if number else across[::-1])
    return planes
