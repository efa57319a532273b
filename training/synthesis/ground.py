"""What lies round a plate: a patch of a given picture, or drawn bodywork with names and lamps."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from training.synthesis.lettering import ink, line_of_text, word
from training.synthesis.texture import noise

Image = npt.NDArray[np.uint8]


def ground(rng: np.random.Generator, grounds: Sequence[Image], size: tuple[int, int]) -> Image:
    """Something to lie round a plate.

    Args:
        grounds: HxWx3 uint8 BGR pictures without plates; all is drawn where there are none.
        size: Width and height in pixels.

    Returns:
        HxWx3 uint8 BGR, its own array.
    """
    if len(grounds) and rng.random() < 0.65:
        return _patch(grounds[int(rng.integers(len(grounds)))], rng, size)
    return _bodywork(rng, size)


def _patch(picture: Image, rng: np.random.Generator, size: tuple[int, int]) -> Image:
    aspect = size[0] / size[1] * float(rng.uniform(0.6, 1.1))
    most = max(25, int(min(picture.shape[0], picture.shape[1] / aspect)))
    height = min(picture.shape[0], int(rng.integers(24, most + 1)))
    width = min(picture.shape[1], max(8, int(height * aspect)))
    y = int(rng.integers(0, picture.shape[0] - height + 1))
    x = int(rng.integers(0, picture.shape[1] - width + 1))
    return np.asarray(cv2.resize(picture[y : y + height, x : x + width], size), np.uint8)


def _bodywork(rng: np.random.Generator, size: tuple[int, int]) -> Image:
    """A bumper: bent, with edges along it, a grille or a maker's name now and then."""
    width, height = size
    chance = rng.random(5)
    base = float(rng.uniform(8, 225))
    tint = rng.uniform(-30, 30, 3) if chance[0] < 0.5 else np.zeros(3)
    rows = base + np.linspace(-1, 1, height, dtype=np.float32) * float(rng.uniform(-60, 60))
    for _ in range(int(rng.integers(0, 4))):  # an edge of the body: another shade below it
        rows[int(rng.integers(height)) :] += float(rng.normal(0, 45))
    shades = np.repeat(rows[:, None], width, 1)
    shades += noise(rng, (height, width), float(rng.uniform(1, 16))) * float(rng.uniform(1, 9))
    grey = np.clip(shades, 0, 255).astype(np.uint8)
    if chance[1] < 0.6:  # the edges are seldom level
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.normal(0, 6)), 1.15)
        grey = np.asarray(cv2.warpAffine(grey, turn, size, borderMode=cv2.BORDER_REPLICATE))
    tinted = np.clip(np.arange(256)[:, None] + tint, 0, 255).astype(np.uint8)
    image = np.asarray(cv2.LUT(cv2.merge([grey] * 3), tinted[None]))
    if chance[2] < 0.15:
        grille(image, rng)
    if chance[3] < 0.2:
        mask = line_of_text(rng, word(rng, 10), int(height * float(rng.uniform(0.1, 0.35))))
        top = int(rng.choice([0.0, 0.75]) * height + rng.uniform(-4, 4))
        ink(image, mask, int(rng.uniform(-0.1, 0.6) * width), top, rng.uniform(0, 255, 3))
    if chance[4] < 0.06:
        lamps(image, rng)
    return image


def grille(image: Image, rng: np.random.Generator) -> None:
    """Bars over the picture, level or upright or both, in place."""
    height, width = image.shape[:2]
    shade = int(rng.integers(0, 256))
    thick, slant = int(rng.integers(1, 6)), int(rng.normal(0, 8))
    kind = rng.random()
    if kind < 0.65:
        for x in range(0, width, int(rng.integers(7, 40))):
            cv2.line(image, (x, 0), (x + slant, height), (shade,) * 3, thick, cv2.LINE_AA)
    if kind > 0.5:
        for y in range(0, height, int(rng.integers(7, 24))):
            cv2.line(image, (0, y), (width, y + slant // 2), (shade,) * 3, thick, cv2.LINE_AA)


def lamps(image: Image, rng: np.random.Generator, spared: Image | None = None) -> None:
    """Headlights or a tail lamp with their bloom, in place.

    Args:
        spared: HxW uint8; where it is 255 there is only bloom, no lamp.
    """
    height, width = image.shape[:2]
    glow = np.zeros((height, width), np.uint8)
    radius = int(rng.uniform(0.1, 0.45) * height)
    for _ in range(int(rng.integers(1, 3))):
        centre = (int(rng.uniform(-0.05, 1.05) * width), int(rng.uniform(-0.1, 1.1) * height))
        cv2.circle(glow, centre, radius, 255, cv2.FILLED)
    glow = glow if spared is None else cv2.subtract(glow, spared)
    haze = cv2.blur(cv2.blur(glow, (31, 31)), (31, 31))
    bloom = np.maximum(glow, haze).astype(np.float32)
    colour = ((1.0, 1.0, 1.0), (0.75, 0.9, 1.0), (0.15, 0.15, 1.0))[int(rng.integers(3))]
    lit = image + bloom[:, :, None] * np.array(colour, np.float32)
    image[:] = np.minimum(lit, 255).astype(np.uint8)
