"""Where the parts of a plate lie, for every type that a Russian road shows.

Sizes of plates and characters and the thickness of their lines are those of GOST R 50577-93 and
-2018: 520x112 mm for one line; 290x170 (1A), 245x185 and, since 2019, 190x145 (motorcycles) and
288x206 (tractors, road machines) for two; characters 76, 58 and 20 mm high with lines of 11, 9 and
3 mm. The standard's drawings leave room for makers: the places of the parts are measured on
photographs for type 1 and estimated for the others, and ``render_plate`` varies them.
"""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[int, int, int]  # BGR
Line = tuple[float, float, float, float]  # x1, y1, x2, y2 in mm

PENS = {76.0: 11.0, 58.0: 9.0, 20.0: 3.0}  # mm of line by mm of height


@dataclass(frozen=True, slots=True)
class Row:
    """Characters on one line of a plate, in mm.

    Attributes:
        base: The line they stand on, from the top.
        middles: Of each character, from the left.
        heights: Of each.
    """

    base: float
    middles: tuple[float, ...]
    heights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Region:
    """The field of the region code, in mm: its middle, its base, height and room to the sides."""

    middle: float
    base: float
    height: float
    room: float


@dataclass(frozen=True, slots=True)
class Layout:
    """One type of plate.

    Attributes:
        pattern: L a letter, 0 a digit, R a region code, as in ``plates.toml``.
        size_mm: Width and height.
        rows: The characters before the region code, in reading order.
        country: Left and top of the letters ``RUS``, 20 mm high, where they stand.
        flag: Left and top of the flag, 43 x 21 mm, where there is one.
        dividers: Lines that part the region's field from the rest.
        bolts: Places of the holes.
    """

    pattern: str
    size_mm: tuple[float, float]
    ground: Colour
    ink: Colour
    rows: tuple[Row, ...]
    region: Region
    country: tuple[float, float] | None = None
    flag: tuple[float, float] | None = None
    dividers: tuple[Line, ...] = ()
    bolts: tuple[tuple[float, float], ...] = ()

    @property
    def lines(self) -> int:
        """How many lines of characters it has."""
        return len(self.rows)


_WHITE, _BLACK = (240, 242, 242), (18, 16, 16)
_YELLOW, _BLUE, _DARK = (40, 190, 245), (150, 70, 20), (28, 26, 26)
_PALE = (190, 225, 235)  # the paper of transit plates

_LONG = (520.0, 112.0)
_LONG_REGION = Region(429, 73, 58, 132)


def _long(
    pattern: str, middles: tuple[float, ...], ground: Colour, ink: Colour, *, flag: bool = False
) -> Layout:
    """A plate of one line; digits stand higher than letters, but for the region's."""
    heights = tuple(76.0 if sign == "0" else 58.0 for sign in pattern.removesuffix("R"))
    return Layout(
        pattern, _LONG, ground, ink, (Row(94, middles, heights),), _LONG_REGION,
        country=(396.0, 82.0), flag=(460.0, 81.0) if flag else None,
        dividers=((361.0, 0.0, 361.0, 112.0),), bolts=((19.0, 56.0), (499.0, 56.0)),
    )  # fmt: skip


def _square(
    pattern: str, size: tuple[float, float], above: Row, below: Row, region: Region,
    ground: Colour, ink: Colour, country: tuple[float, float] | None = None,
    flag: tuple[float, float] | None = None, dividers: tuple[Line, ...] = (),
) -> Layout:  # fmt: skip
    width = size[0]
    return Layout(pattern, size, ground, ink, (above, below), region, country, flag, dividers,
                  ((0.16 * width, 12.0), (0.84 * width, 12.0)))  # fmt: skip


def _four_and_two(size: tuple[float, float], ground: Colour, ink: Colour, *, country: bool,
                  large: bool = True) -> Layout:  # fmt: skip
    """Four digits above, two letters and the region code below."""
    width, height = size
    tall, low = (76.0, 58.0) if large else (58.0, 44.0)
    gap = (height - tall - low) / (3.6 if country else 3)
    step = tall * 0.70
    middle = width / 2
    above = Row(gap + tall, tuple(middle + step * (i - 1.5) for i in range(4)), (tall,) * 4)
    base = gap + tall + gap + low
    left = width * 0.06
    below = Row(base, (left + 0.45 * low, left + 1.33 * low), (low, low))
    divider = left + 1.86 * low
    room = width * 0.97 - divider
    code = low if not country else 0.72 * low
    region = Region(divider + room / 2, gap + tall + gap + code, code, room)
    place = (divider + room / 2 - 28, height - 30.0) if country and large else None
    parts: tuple[Line, ...] = ()
    if country:
        top = gap * 1.4 + tall
        parts = ((divider, top, divider, height), (divider, top, width, top))
    return _square("0000LLR", size, above, below, region, ground, ink, place, None, parts)


_TWO_LINE_TOP = Row(86, (56, 116, 172, 228), (58, 76, 76, 76))

# The first layout of a kind is the usual one; the others are makers' and earlier ones.
LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "ru-1": (_long("L000LLR", (50, 104, 158, 213, 267, 323), _WHITE, _BLACK, flag=True),),
    "ru-1a": (
        _square("L000LLR", (290.0, 170.0), _TWO_LINE_TOP, Row(156, (50, 110), (58, 58)),
                Region(216, 134, 40, 118), _WHITE, _BLACK, (158, 140), (222, 140),
                ((148, 91, 148, 170), (148, 91, 290, 91))),
        _square("L000LLR", (290.0, 170.0), _TWO_LINE_TOP, Row(156, (46, 102), (58, 58)),
                Region(206, 156, 58, 132), _WHITE, _BLACK),
        _square("L000LLR", (290.0, 170.0), _TWO_LINE_TOP, Row(156, (54, 114), (58, 58)),
                Region(216, 134, 42, 116), _WHITE, _BLACK, (160, 140), (223, 140)),
    ),
    "ru-1b": (_long("LL000R", (54, 110, 184, 240, 296), _YELLOW, _BLACK),
              _long("LL000R", (48, 102, 186, 248, 310), _YELLOW, _BLACK)),
    "ru-2": (_long("LL0000R", (50, 104, 164, 217, 270, 323), _WHITE, _BLACK, flag=True),),
    "ru-motorcycle": (
        _four_and_two((245.0, 185.0), _WHITE, _BLACK, country=True),
        _four_and_two((190.0, 145.0), _WHITE, _BLACK, country=False, large=False),
        _four_and_two((245.0, 185.0), _WHITE, _BLACK, country=False),
        _four_and_two((190.0, 145.0), _WHITE, _BLACK, country=True, large=False),
    ),
    "ru-tractor": (
        _four_and_two((288.0, 206.0), _WHITE, _BLACK, country=True),
        _four_and_two((288.0, 206.0), _WHITE, _BLACK, country=False),
    ),
    "ru-military": (_long("0000LLR", (50, 102, 154, 206, 264, 319), _DARK, _WHITE),),
    "ru-military-2": (
        _four_and_two((245.0, 185.0), _DARK, _WHITE, country=False),
        _four_and_two((288.0, 206.0), _DARK, _WHITE, country=True),
    ),
    "ru-military-trailer": (_long("LL0000R", (50, 104, 164, 217, 270, 323), _DARK, _WHITE),),
    "ru-police": (_long("L0000R", (58, 122, 180, 238, 296), _BLUE, _WHITE),),
    "ru-transit": (_long("LL000LR", (48, 97, 150, 204, 257, 318), _WHITE, _BLACK),
                   _long("LL000LR", (48, 97, 150, 204, 257, 318), _PALE, _BLACK)),
}  # fmt: skip

KINDS = tuple(LAYOUTS)


def fits(text: str, pattern: str) -> bool:
    """Whether a text has the letters, digits and length of a pattern; region codes of 2 or 3."""
    signs = pattern.removesuffix("R")
    code = text[len(signs) :]
    if len(code) not in (2, 3) or not code.isdigit():
        return False
    return all(
        char.isdigit() if sign == "0" else char.isalpha()
        for char, sign in zip(text, signs, strict=False)
    )
