"""Flat Russian plates, drawn to the measures of GOST R 50577: 520x112 mm and one line."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from platestream import plates
from training.synthesis.glyphs import WIDTH, outline

Image = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

PLATE_MM = (520.0, 112.0)
_DIGIT_MM, _DIGIT_PEN = 76.0, 11.0
_LETTER_MM, _LETTER_PEN = 58.0, 9.0
_COUNTRY_MM, _COUNTRY_PEN = 20.0, 3.0
_BASE_MM = 94.0  # the line on which the main characters stand
_REGION_X = 388.0  # where the field of the region begins
_SUPERSAMPLE = 2


@dataclass(frozen=True, slots=True)
class Style:
    """A type's colours (BGR) and where its main characters' middles lie, in mm from the left."""

    ground: Colour
    ink: Colour
    middles: tuple[float, ...]


_WHITE, _BLACK = (240, 242, 242), (18, 16, 16)
_STYLES = {
    "ru-1": Style(_WHITE, _BLACK, (49, 110, 165, 220, 284, 343)),
    "ru-1b": Style((40, 190, 245), _BLACK, (58, 117, 190, 245, 300)),
    "ru-2": Style(_WHITE, _BLACK, (46, 104, 170, 224, 278, 332)),
    "ru-military": Style((28, 26, 26), _WHITE, (46, 101, 156, 211, 284, 343)),
    "ru-police": Style((150, 70, 20), _WHITE, (62, 140, 198, 256, 314)),
}


def random_text(rng: np.random.Generator, kind: str = "ru-1") -> str:
    """A text that a plate of a format may carry, with a region code in use."""
    pattern = plates.formats()[kind]
    codes = sorted(plates.region_codes())
    two = [code for code in codes if len(code) == 2]
    three = [code for code in codes if len(code) == 3]
    text = ""
    for symbol in pattern:
        if symbol == "L":
            text += str(rng.choice(list(plates.letters())))
        elif symbol == "0":
            text += str(rng.integers(10))
        else:
            text += str(rng.choice(two if rng.random() < 0.5 else three))
    return text


def render_plate(
    text: str, *, px_per_mm: float = 1.0, rng: np.random.Generator | None = None
) -> Image:
    """Draws a plate, flat and clean.

    Args:
        text: Fits one of the formats (``A301PO174``).
        px_per_mm: Pixels per millimetre; 1 gives 520x112.
        rng: Where given, positions, pen and colours vary a little, as makers' do, and the flag
            may be missing.

    Returns:
        HxWx3 uint8 BGR.

    Raises:
        ValueError: The text fits no format.
    """
    kind = plates.format_of(text)
    if kind is None:
        raise ValueError(f"'{text}' fits no plate format")
    style = _STYLES[kind]
    scale = px_per_mm * _SUPERSAMPLE
    vary = rng or np.random.default_rng(0)
    spread = 1.0 if rng is not None else 0.0

    def jitter(amount: float) -> float:
        return float(vary.normal(0, amount)) * spread

    ground = tuple(int(np.clip(c + jitter(6), 0, 255)) for c in style.ground)
    ink = tuple(int(np.clip(c + abs(jitter(12)), 0, 255)) for c in style.ink)
    canvas = np.full((round(PLATE_MM[1] * scale), round(PLATE_MM[0] * scale), 3), ground, np.uint8)
    _frame(canvas, scale, ink, 4.0 + jitter(0.6))

    main, region = text[: len(style.middles)], text[len(style.middles) :]
    pen_share = 1 + jitter(0.07)
    shift_x, shift_y = jitter(2.0), jitter(1.2)
    for char, middle in zip(main, style.middles, strict=True):
        height, pen = (_DIGIT_MM, _DIGIT_PEN) if char.isdigit() else (_LETTER_MM, _LETTER_PEN)
        width = height * WIDTH * (1.0 if char.isdigit() else 1.18)
        x = middle + shift_x + jitter(0.6) - width / 2
        _write(canvas, scale, ink, char, x, _BASE_MM - height + shift_y, width, height,
               pen * pen_share)  # fmt: skip
    step, width = (44.0, 35.0) if len(region) == 3 else (50.0, 37.0)
    left = 451 + shift_x / 2 - step * len(region) / 2
    for index, char in enumerate(region):
        x = left + step * index + (step - width) / 2 + jitter(0.4)
        _write(
            canvas, scale, ink, char, x, 14 + shift_y, width, _LETTER_MM, _LETTER_PEN * pen_share
        )
    country = 408.0 + shift_x / 2
    for index, char in enumerate("RUS"):
        _write(canvas, scale, ink, char, country + 18 * index, 82 + shift_y, 13.5, _COUNTRY_MM,
               _COUNTRY_PEN)  # fmt: skip
    if rng is None or rng.random() < 0.7:
        _flag(canvas, scale, 465 + shift_x / 2, 82 + shift_y)
    size = (round(PLATE_MM[0] * px_per_mm), round(PLATE_MM[1] * px_per_mm))
    return cv2.resize(canvas, size, interpolation=cv2.INTER_AREA).astype(np.uint8)


def _frame(canvas: Image, scale: float, ink: Colour | tuple[int, ...], line: float) -> None:
    height, width = canvas.shape[:2]
    thick = max(1, round(line * scale))
    edge = round(2.5 * scale) + thick // 2
    radius = round(9 * scale)
    a, b = (edge, edge), (width - 1 - edge, height - 1 - edge)
    for start, end in (((a[0] + radius, a[1]), (b[0] - radius, a[1])),
                       ((a[0] + radius, b[1]), (b[0] - radius, b[1])),
                       ((a[0], a[1] + radius), (a[0], b[1] - radius)),
                       ((b[0], a[1] + radius), (b[0], b[1] - radius))):  # fmt: skip
        cv2.line(canvas, start, end, ink, thick)
    for corner, angle in (((a[0] + radius, a[1] + radius), 180),
                          ((b[0] - radius, a[1] + radius), 270),
                          ((b[0] - radius, b[1] - radius), 0),
                          ((a[0] + radius, b[1] - radius), 90)):  # fmt: skip
        cv2.ellipse(canvas, corner, (radius, radius), angle, 0, 90, ink, thick)
    x = round(_REGION_X * scale)
    cv2.line(canvas, (x, edge), (x, height - edge), ink, thick)


def _write(
    canvas: Image, scale: float, ink: Colour | tuple[int, ...], char: str,
    x: float, y: float, width: float, height: float, pen: float,
) -> None:  # fmt: skip
    lines = [
        np.rint(line * scale * 16).astype(np.int32)
        for line in outline(char, x, y, width, height, pen)
    ]
    thick = max(1, round(pen * scale))
    cv2.polylines(canvas, lines, False, ink, thick, cv2.LINE_AA, shift=4)


def _flag(canvas: Image, scale: float, x: float, y: float) -> None:
    for band, colour in enumerate(((250, 250, 250), (170, 60, 10), (40, 30, 210))):
        top = y + 20 / 3 * band
        cv2.rectangle(
            canvas,
            (round(x * scale), round(top * scale)),
            (round((x + 34) * scale), round((top + 20 / 3) * scale)),
            colour,
            cv2.FILLED,
        )
