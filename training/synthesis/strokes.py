"""The shapes of a plate's characters as strokes of a pen, after the drawings of GOST R 50577.

A character stands in a box one unit high and ``width(char)`` units wide, y down. A stroke is the
middle line of a pen. Strokes that run out of the box are cut off flat at its edge, as the ends of
slanted strokes on real plates are. Nothing here is taken from a font file.
"""

from __future__ import annotations

import math

Point = tuple[float, float]
Stroke = list[Point]

# Shares of the height, measured on photographs of plates: letters are wide, digits narrow.
_WIDTHS = {
    "0": 0.60, "1": 0.47, "2": 0.59, "3": 0.60, "4": 0.64, "5": 0.60, "6": 0.61, "7": 0.60,
    "8": 0.61, "9": 0.61,
    "A": 0.74, "B": 0.65, "C": 0.75, "E": 0.65, "H": 0.70, "K": 0.69, "M": 0.84, "O": 0.78,
    "P": 0.66, "T": 0.69, "X": 0.75, "Y": 0.75,
    # not on Russian plates, but beside them, on foreign ones and in lettering
    "D": 0.74, "F": 0.66, "G": 0.84, "I": 0.20, "J": 0.56, "L": 0.62, "N": 0.78, "Q": 0.88,
    "R": 0.72, "S": 0.70, "U": 0.76, "V": 0.84, "W": 1.05, "Z": 0.72,
    "Б": 0.70, "Г": 0.62, "Д": 0.86, "Ж": 1.05, "З": 0.68, "И": 0.78, "Л": 0.80, "П": 0.76,
    "Ф": 0.92, "Ц": 0.80, "Ч": 0.72, "Ш": 0.98, "Э": 0.78, "Ю": 1.05, "Я": 0.72,
    "-": 0.40, ".": 0.20,
}  # fmt: skip
SIGNS = "".join(_WIDTHS)


def width(char: str) -> float:
    """A character's width as a share of its height.

    Raises:
        ValueError: There is no such character.
    """
    if char not in _WIDTHS:
        raise ValueError(f"no shape for '{char}'")
    return _WIDTHS[char]


def _arc(cx: float, cy: float, rx: float, ry: float, start: float, end: float) -> Stroke:
    """An elliptic arc from ``start`` to ``end`` degrees; 0 is right, 90 is down."""
    steps = max(6, int(abs(end - start) / 6))
    angles = [math.radians(start + (end - start) * i / steps) for i in range(steps + 1)]
    return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]


def _bend(a: Point, control: Point, b: Point) -> Stroke:
    """A quadratic Bezier curve."""
    return [
        (
            (1 - t) ** 2 * a[0] + 2 * t * (1 - t) * control[0] + t * t * b[0],
            (1 - t) ** 2 * a[1] + 2 * t * (1 - t) * control[1] + t * t * b[1],
        )
        for t in (i / 12 for i in range(13))
    ]


def _through(a: Point, b: Point, beyond: float = 0.3) -> Stroke:
    """A straight stroke that runs on past both ends, to be cut off by the box."""
    dx, dy = (b[0] - a[0]) * beyond, (b[1] - a[1]) * beyond
    return [(a[0] - dx, a[1] - dy), (b[0] + dx, b[1] + dy)]


def _past(a: Point, b: Point, beyond: float = 0.3) -> Stroke:
    """A straight stroke that runs on past its second end only."""
    return [a, (b[0] + (b[0] - a[0]) * beyond, b[1] + (b[1] - a[1]) * beyond)]


def _oval(cx: float, cy: float, rx: float, ry: float, straight: float = 0.0) -> Stroke:
    """A closed oval; ``straight`` is the length of its upright sides."""
    s = straight / 2
    path = [*_arc(cx, cy - s, rx, ry - s, 180, 360), *_arc(cx, cy + s, rx, ry - s, 0, 180)]
    return [*path, path[0], path[1]]


def _open_ring(w: float, h: float) -> Stroke:
    """The ring of C: open to the right, where its ends reach the edge of the box."""
    rx = (w - 1.7 * h) / (1 + math.cos(math.radians(46)))
    return _arc(h + rx, 0.5, rx, 0.5 - h, -46, -314)


def _turned(strokes_: list[Stroke], w: float) -> list[Stroke]:
    return [[(w - x, 1 - y) for x, y in stroke] for stroke in strokes_]


def _six(w: float, h: float) -> list[Stroke]:
    ry = 0.265
    loop = _oval(w / 2, 1 - h - ry, w / 2 - h, ry)
    return [loop, _bend((h, 1 - h - ry), (h + 0.005, 0.47), (w / 2 + 0.17, -0.08))]


def _bowls(w: float, h: float, top: float, bottom: float, right: float) -> Stroke:
    """The half ring of B, P and R from ``top`` to ``bottom``, joined to the stem on the left."""
    ry = (bottom - top) / 2
    rx = min(ry * 1.05, (right - h) * 0.75)
    return [(h, top), (right - rx, top), *_arc(right - rx, top + ry, rx, ry, -90, 90),
            (h, bottom)]  # fmt: skip


def strokes(char: str, pen: float) -> list[Stroke]:
    """The strokes of a character.

    Args:
        char: One of ``SIGNS``.
        pen: Width of the pen as a share of the height.

    Raises:
        ValueError: There is no such character.
    """
    w = width(char)
    h = pen / 2
    l, t, r, b = h, h, w - h, 1 - h  # noqa: E741 - left, top, right, bottom
    mx = w / 2
    rx, ry = w / 2 - h, 0.5 - h
    stem = [(l, 0.0), (l, 1.0)]
    match char:
        case "0":
            return [_oval(mx, 0.5, rx, ry, 0.30)]
        case "O":
            return [_oval(mx, 0.5, rx, ry, 0.12)]
        case "1":
            return [[(r, 1.0), (r, 0.0)], _past((l - 0.03, 0.31), (r, 0.03), 0.5)]
        case "2":
            top = _arc(mx, t + 0.235, rx, 0.235, 188, 375)
            return [
                [*top, (r - 0.035, 0.45), (l - 0.02, b), (l - 0.1, b + 0.1)],
                [(0.0, b), (w, b)],
            ]
        case "3":
            low = _arc(mx - 0.01, b - 0.262, rx + 0.01, 0.262, -84, 172)
            return [[(0.04, t), (r - 0.03, t), (mx - 0.05, 0.415), *low]]
        case "4":
            x = r - 0.085
            return [
                [(x, 0.45), (x, 1.0)],
                [(0.66 * w, -0.1), (0.60 * w, 0.0), (l - 0.015, b - 0.175), (w, b - 0.175)],
            ]
        case "5":
            low = _arc(mx - 0.015, b - 0.265, rx + 0.015, 0.265, -122, 172)
            return [[(w - 0.03, t), (l + 0.055, t), (l + 0.02, 0.475), *low]]
        case "6":
            return _six(w, h)
        case "9":
            return _turned(_six(w, h), w)
        case "7":
            return [[(0.0, t), (r - 0.005, t), (r - 0.03, t + 0.1), (0.36 * w, 1.0),
                     (0.30 * w, 1.15)]]  # fmt: skip
        case "8":
            waist = 0.455
            return [
                _oval(mx, (t + waist) / 2, rx - 0.03, (waist - t) / 2),
                _oval(mx, (waist + b) / 2, rx, (b - waist) / 2),
            ]
        case "A":
            return [
                _through((l + 0.01, 1.0), (mx - 0.012, 0.0)),
                _through((r - 0.01, 1.0), (mx + 0.012, 0.0)),
                [(0.2 * w, 0.72), (0.8 * w, 0.72)],
            ]
        case "B":
            return [stem, _bowls(w, h, t, 0.475, r - 0.035), _bowls(w, h, 0.475, b, r)]
        case "C":
            return [_open_ring(w, h)]
        case "E":
            return [[(w, t), (l, t), (l, b), (w, b)], [(l, 0.49), (w - 0.06, 0.49)]]
        case "H":
            return [stem, [(r, 0.0), (r, 1.0)], [(l, 0.49), (r, 0.49)]]
        case "K":
            return [
                stem,
                _past((l, 0.66), (r - 0.02, 0.0)),
                _past((l + 0.16, 0.42), (r - 0.01, 1.0)),
            ]
        case "M":
            return [
                stem,
                [(r, 0.0), (r, 1.0)],
                [(l - 0.1, -0.17), (l, 0.0), (mx, 0.71), (r, 0.0), (r + 0.1, -0.17)],
            ]
        case "P":
            return [stem, _bowls(w, h, t, 0.56, r)]
        case "T":
            return [[(0.0, t), (w, t)], [(mx, t), (mx, 1.0)]]
        case "X":
            return [
                _through((l + 0.01, 0.0), (r - 0.01, 1.0)),
                _through((r - 0.01, 0.0), (l + 0.01, 1.0)),
            ]
        case "Y":
            return [
                _through((r - 0.005, 0.0), (0.27 * w, 1.0)),
                _past((0.56 * w, 0.62), (l + 0.02, 0.0)),
            ]
    return _others(char, w, h)


def _others(char: str, w: float, h: float) -> list[Stroke]:
    """The characters that no Russian plate carries; plainer than those that one does."""
    l, t, r, b = h, h, w - h, 1 - h  # noqa: E741 - left, top, right, bottom
    mx = w / 2
    rx, ry = w / 2 - h, 0.5 - h
    stem = [(l, 0.0), (l, 1.0)]
    post = [(r, 0.0), (r, 1.0)]
    match char:
        case "D":
            return [stem, _bowls(w, h, t, b, r)]
        case "F" | "Г":
            bar = [[(l, 0.5), (w - 0.08, 0.5)]] if char == "F" else []
            return [[(w, t), (l, t), (l, 1.0)], *bar]
        case "G":
            return [[*_arc(mx, 0.5, rx, ry, -46, -360), (mx, 0.5)]]
        case "I":
            return [[(mx, 0.0), (mx, 1.0)]]
        case "J":
            return [[(r, 0.0), *_arc(mx, b - 0.24, rx, 0.24, 0, 170)]]
        case "L":
            return [[(l, 0.0), (l, b), (w, b)]]
        case "N":
            return [stem, post, _through((l, 0.0), (r, 1.0))]
        case "И":
            return [stem, post, _through((r, 0.0), (l, 1.0))]
        case "Q":
            return [_oval(mx, 0.5, rx, ry), [(mx, 0.66), (w, 1.0)]]
        case "R":
            return [stem, _bowls(w, h, t, 0.56, r), _past((mx - 0.04, 0.56), (r, 1.0))]
        case "Я":
            return _mirrored(_others("R", w, h), w)
        case "S":
            return [[*_arc(mx, t + 0.225, rx, 0.225, -30, -270), *_arc(mx, b - 0.24, rx, 0.24,
                     -90, 150)]]  # fmt: skip
        case "U":
            return [[(l, 0.0), *_arc(mx, b - 0.28, rx, 0.28, 180, 0), (r, 0.0)]]
        case "V":
            return [_through((l, 0.0), (mx - 0.012, 1.0)), _through((r, 0.0), (mx + 0.012, 1.0))]
        case "W":
            return [[(l - 0.03, -0.1), (0.27 * w, b), (mx, 0.2), (0.73 * w, b), (r + 0.03, -0.1)]]
        case "Z":
            return [[(0.0, t), (w, t)], _through((r, 0.0), (l, 1.0)), [(0.0, b), (w, b)]]
        case "Б":
            return [[(w - 0.06, t), (l, t), (l, 1.0)], _bowls(w, h, 0.44, b, r)]
        case "Д" | "Л":
            foot = [[(0.0, 1.0), (0.0, b - 0.06), (w, b - 0.06), (w, 1.0)]] if char == "Д" else []
            side = r - 0.06 if foot else r
            return [[(l, 1.0), (0.3 * w, t), (side, t), (side, 1.0)], *foot]
        case "Ж":
            return [[(mx, 0.0), (mx, 1.0)], _through((l, 0.0), (r, 1.0)),
                    _through((r, 0.0), (l, 1.0))]  # fmt: skip
        case "З":
            return [[*_arc(mx, t + 0.21, rx, 0.21, -170, 90), *_arc(mx, b - 0.245, rx, 0.245,
                     -90, 175)]]  # fmt: skip
        case "П":
            return [[(l, 1.0), (l, t), (r, t), (r, 1.0)]]
        case "Ф":
            return [[(mx, 0.0), (mx, 1.0)], _oval(mx, 0.46, rx, 0.28)]
        case "Ц":
            return [[(l, 0.0), (l, b - 0.05), (w, b - 0.05)], [(r - 0.1, 0.0), (r - 0.1, b)],
                    [(r, b - 0.05), (r, 1.0)]]  # fmt: skip
        case "Ч":
            return [post, [(l, 0.0), (l, 0.35), (l + 0.1, 0.55), (r, 0.55)]]
        case "Ш":
            return [[(l, 0.0), (l, b), (r, b), (r, 0.0)], [(mx, 0.0), (mx, b)]]
        case "Э":
            return [*_mirrored([_open_ring(w, h)], w), [(mx, 0.5), (r, 0.5)]]
        case "Ю":
            return [stem, _oval(0.62 * w, 0.5, 0.38 * w - h, ry), [(l, 0.5), (0.3 * w, 0.5)]]
        case "-":
            return [[(0.0, 0.55), (w, 0.55)]]
        case ".":
            return [[(mx, b - h), (mx, 1.0)]]
    raise ValueError(f"no shape for '{char}'")


def _mirrored(strokes_: list[Stroke], w: float) -> list[Stroke]:
    return [[(w - x, y) for x, y in stroke] for stroke in strokes_]
