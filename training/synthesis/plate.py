"""Flat Russian plates of every type, drawn from their layouts."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from platestream import plates
from training.synthesis.glyphs import glyph
from training.synthesis.layout import LAYOUTS, PENS, Layout, fits
from training.synthesis.strokes import width
from training.synthesis.texture import noise

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.uint8]

PLATE_MM = (520.0, 112.0)  # of the plates of one line
_FLAG_MM = (43.0, 21.0)
_FLAG = ((250, 250, 250), (170, 60, 10), (40, 30, 210))
_COUNTRY_STEP = 20.5  # mm from one letter of RUS to the next
_CORNER_MM = 10.0
_SERVICES = "ru-military"


class Hand:
    """A maker's hand: draws what varies from plate to plate; steady where there is no ``rng``."""

    def __init__(self, rng: np.random.Generator | None) -> None:
        self._normals = iter(rng.standard_normal(64)) if rng is not None else None
        self.rng = rng

    def __call__(self, spread: float) -> float:
        """A deviation with this standard deviation; 0 for the steady hand."""
        return 0.0 if self._normals is None else float(next(self._normals)) * spread


def random_text(rng: np.random.Generator, kind: str = "ru-1") -> str:
    """A text that a plate of a kind may carry, with a region code in use.

    The services' plates have their own codes, of two digits; on kinds of theirs that have no format
    of their own, of those the ones that the format read there has as well.

    Raises:
        KeyError: There is no such kind; ``layout.LAYOUTS`` has them all.
    """
    letters = plates.letters()
    text = ""
    pattern = LAYOUTS[kind][0].pattern
    for sign, number in zip(pattern, rng.integers(0, 1_000_000, len(pattern)), strict=True):
        if sign == "L":
            text += letters[number % len(letters)]
        elif sign == "0":
            text += str(number % 10)
        else:
            short = rng.random() < 0.5
            codes = _codes(kind, 2 if short else 3) or _codes(kind, 2)
            text += codes[number % len(codes)]
    return text


@cache
def _codes(kind: str, length: int) -> tuple[str, ...]:
    """Region codes of so many digits that a kind's plates carry."""
    layout, known = LAYOUTS[kind][0], plates.shipped()
    alike = [f for f in known.formats if (f.pattern, f.lines) == (layout.pattern, layout.lines)]
    form = next((f for f in alike if f.name == kind), alike[0])
    codes = form.slots[-1]
    if kind.startswith(_SERVICES):
        codes &= known.regions["ru"]["troops"]
    return tuple(sorted(code for code in codes if len(code) == length))


def choose_layout(kind: str, rng: np.random.Generator | None) -> Layout:
    """One of a kind's layouts: the usual one, or with ``rng`` any.

    Raises:
        ValueError: There is no such kind.
    """
    if kind not in LAYOUTS:
        raise ValueError(f"no plate kind '{kind}'; there are {', '.join(LAYOUTS)}")
    layouts = LAYOUTS[kind]
    if rng is None or len(layouts) == 1:
        return layouts[0]
    return layouts[int(rng.integers(len(layouts)))]


def render_plate(
    text: str,
    kind: str = "ru-1",
    *,
    px_per_mm: float = 1.0,
    rng: np.random.Generator | None = None,
    layout: Layout | None = None,
) -> Image:
    """Draws a plate, flat and clean.

    Args:
        text: Fits the kind's pattern (``A301PO174``); of two lines, the upper comes first.
        kind: One of ``layout.KINDS``.
        px_per_mm: Pixels per millimetre; 1 gives 520x112 for the plates of one line.
        rng: Where given, layout, positions, pen and colours vary, as makers' do, the paint may be
            worn and the flag may be missing.
        layout: The one to use instead of one of the kind's.

    Returns:
        HxWx3 uint8 BGR.

    Raises:
        ValueError: There is no such kind, or the text does not fit it.
    """
    layout = layout or choose_layout(kind, rng)
    if not fits(text, layout.pattern):
        raise ValueError(f"'{text}' does not fit {kind}, {layout.pattern}")
    hand = Hand(rng)
    size = (round(layout.size_mm[0] * px_per_mm), round(layout.size_mm[1] * px_per_mm))
    ink = np.zeros((size[1], size[0]), np.uint8)
    _frame(ink, layout, px_per_mm, 3.4 + hand(0.6), hand)
    _characters(ink, layout, text, px_per_mm, hand)
    if rng is not None and rng.random() < 0.1:
        _wear(ink, rng)
    shade = hand(4.0)
    plate = _paint(
        ink,
        [_level(c + shade + hand(4.0)) for c in layout.ground],
        [_level(c + abs(hand(12.0))) for c in layout.ink],
    )
    if layout.flag and (rng is None or rng.random() < 0.75):
        _flag(plate, px_per_mm, *layout.flag)
    return plate


def _level(value: float) -> float:
    return float(min(255.0, max(0.0, value)))


def _paint(ink: Mask, ground: list[float], colour: list[float]) -> Image:
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[:, None]
    table = (np.array(ground, np.float32) * (1 - ramp) + np.array(colour) * ramp).astype(np.uint8)
    return np.asarray(cv2.merge([cv2.LUT(ink, table[:, channel]) for channel in range(3)]))


def _characters(ink: Mask, layout: Layout, text: str, scale: float, hand: Hand) -> None:
    """All signs: of the rows, of the region and of the country."""
    pen, rounding = 1 + hand(0.09), 0.3 + hand(0.1)
    rounding = min(0.6, max(0.0, rounding))
    stretch = 1 + hand(0.04)
    shift_x, shift_y = hand(2.0), hand(1.3)
    index = 0
    for row in layout.rows:
        for middle, height in zip(row.middles, row.heights, strict=True):
            _write(ink, scale, text[index], middle + shift_x + hand(0.5), row.base + shift_y,
                   height, pen, stretch, rounding)  # fmt: skip
            index += 1
    _region(ink, layout, text[index:], scale, (shift_x / 2, shift_y), (pen, stretch, rounding),
            hand)  # fmt: skip
    if layout.country:
        left, top = layout.country
        step = _COUNTRY_STEP + hand(0.6)
        for place, char in enumerate("RUS"):
            _write(ink, scale, char, left + 7 + step * place + shift_x / 2, top + 20 + shift_y / 2,
                   20.0, pen, 1.0, 0.0)  # fmt: skip


def _region(
    ink: Mask, layout: Layout, code: str, scale: float, shift: tuple[float, float],
    style: tuple[float, float, float], hand: Hand,
) -> None:  # fmt: skip
    """The region code, closed up where three digits would not fit their field."""
    region = layout.region
    pen, stretch, rounding = style
    gap = region.height * (0.15 + hand(0.02))
    widths = [width(char) * region.height * stretch for char in code]
    span = sum(widths) + gap * (len(code) - 1)
    closer = min(1.0, (region.room - 6) / span)
    x = region.middle - span * closer / 2 + shift[0]
    for char, wide in zip(code, widths, strict=True):
        _write(ink, scale, char, x + wide * closer / 2, region.base + shift[1], region.height, pen,
               stretch * closer, rounding)  # fmt: skip
        x += (wide + gap) * closer


def _write(
    ink: Mask, scale: float, char: str, middle: float, base: float, height: float, pen: float,
    stretch: float, rounding: float,
) -> None:  # fmt: skip
    share = PENS.get(height, 0.155 * height) / height * pen
    mask = glyph(char, max(1, round(height * scale)), stretch, share, rounding)
    high, wide = mask.shape
    x, y = round(middle * scale - wide / 2), round(base * scale) - high
    left, top = max(0, x), max(0, y)
    part = ink[top : y + high, left : x + wide]
    cv2.max(part, mask[top - y : top - y + part.shape[0], left - x : left - x + part.shape[1]],
            dst=part)  # fmt: skip


def _frame(ink: Mask, layout: Layout, scale: float, line: float, hand: Hand) -> None:
    """The line round the plate and those that part its fields."""
    height, width_ = ink.shape
    thick = max(1, round(line * scale))
    edge = round(2.5 * scale) + thick // 2
    radius = max(1, round(_CORNER_MM * scale))
    x1, y1, x2, y2 = edge, edge, width_ - 1 - edge, height - 1 - edge
    for start, end in (((x1 + radius, y1), (x2 - radius, y1)), ((x1 + radius, y2),
                       (x2 - radius, y2)), ((x1, y1 + radius), (x1, y2 - radius)),
                       ((x2, y1 + radius), (x2, y2 - radius))):  # fmt: skip
        cv2.line(ink, start, end, 255, thick)
    for corner, angle in (((x1 + radius, y1 + radius), 180), ((x2 - radius, y1 + radius), 270),
                          ((x2 - radius, y2 - radius), 0), ((x1 + radius, y2 - radius), 90)
                          ):  # fmt: skip
        cv2.ellipse(ink, corner, (radius, radius), angle, 0, 90, 255, thick)
    shift = hand(2.0)
    for ax, ay, bx, by in layout.dividers:
        upright = ax == bx
        move_x, move_y = (shift, 0.0) if upright else (0.0, shift / 2)
        a = (round((ax + move_x) * scale), max(edge, round((ay + move_y) * scale)))
        b = (round((bx + move_x) * scale), round((by + move_y) * scale))
        cv2.line(ink, a, (min(b[0], width_ - edge), min(b[1], height - edge)), 255, thick)


def _flag(plate: Image, scale: float, x: float, y: float) -> None:
    band_mm = _FLAG_MM[1] / 3
    for band, colour in enumerate(_FLAG):
        top = y + band_mm * band
        a = (round(x * scale), round(top * scale))
        b = (round((x + _FLAG_MM[0]) * scale) - 1, round((top + band_mm) * scale) - 1)
        cv2.rectangle(plate, a, (max(a[0], b[0]), max(a[1], b[1])), colour, cv2.FILLED)


def _wear(ink: Mask, rng: np.random.Generator) -> None:
    """Paint that has come off in places, in place."""
    coarse = noise(rng, ink.shape, float(rng.uniform(4, 14)))
    left = np.clip(1.1 + float(rng.uniform(0.2, 0.7)) * coarse, 0.25, 1.0)
    ink[:] = (ink * left).astype(np.uint8)
