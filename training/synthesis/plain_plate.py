"""Flat plates of any country, plainly: signs of one height, spread over one line or two."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from training.synthesis.glyphs import glyph
from training.synthesis.lettering import ink
from training.synthesis.strokes import width

Image = npt.NDArray[np.uint8]

_SCALE = 0.6  # pixels per mm
_EDGE_MM = 8.0  # left free at each side


def plain_plate(rows: Sequence[str], size_mm: tuple[float, float], rng: np.random.Generator
                ) -> Image:  # fmt: skip
    """Draws signs on a white or yellow ground, in a frame, often with a blue strip.

    Args:
        rows: Of ``strokes.SIGNS`` and blanks, one for each line, the upper one first.
        size_mm: The plate's width and height.

    Returns:
        HxWx3 uint8 BGR, 0.6 px per mm.

    Raises:
        ValueError: A sign has no shape.
    """
    width_, height = round(size_mm[0] * _SCALE), round(size_mm[1] * _SCALE)
    plate = np.empty((height, width_, 3), np.uint8)
    plate[:] = (235, 238, 238) if rng.random() < 0.85 else (60, 200, 240)
    cv2.rectangle(plate, (1, 1), (width_ - 2, height - 2), (20, 20, 20), int(rng.integers(1, 3)))
    left = 0
    if rng.random() < 0.6:
        left = round(float(rng.uniform(34, 48)) * _SCALE)
        plate[:, :left] = (160, 70, 20)
    pitch = height / len(rows)
    tall = round(float(rng.uniform(0.59, 0.71) if len(rows) == 1 else rng.uniform(0.62, 0.74))
                 * pitch)  # fmt: skip
    stretch, pen = float(rng.uniform(0.8, 1.0)), float(rng.uniform(0.11, 0.17))
    gap = float(rng.uniform(5, 9)) * _SCALE
    for number, row in enumerate(rows):
        _line(plate, row, left, round(pitch * (number + 0.5) - tall / 2), tall, gap, stretch, pen)
    return plate


def _line(
    plate: Image, signs: str, left: int, top: int, tall: int, gap: float, stretch: float, pen: float
) -> None:
    """Writes signs in the middle of what lies right of ``left``, closed up where they must."""
    spans = [(0.35 if sign == " " else width(sign) * stretch) * tall + gap for sign in signs]
    room = plate.shape[1] - left - 2 * _EDGE_MM * _SCALE
    closer = min(1.0, room / sum(spans))
    x = left + _EDGE_MM * _SCALE + (room - sum(spans) * closer) / 2
    for sign, span in zip(signs, spans, strict=True):
        if sign != " ":
            ink(plate, glyph(sign, tall, stretch * closer, pen), round(x), top, (20, 18, 18))
        x += span * closer
