"""The digits and letters of Russian plates as strokes, after the shapes of GOST R 50577.

A glyph is a list of strokes in a box one unit high and ``WIDTH`` units wide, y down. A stroke is
the middle line of a pen: straight pieces and quarter arcs. Nothing here is taken from a font file.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Point = tuple[float, float]
Stroke = list[Point]

WIDTH = 0.64


def _arc(cx: float, cy: float, rx: float, ry: float, start: float, end: float) -> Stroke:
    """An elliptic arc from ``start`` to ``end`` degrees; 0 is right, 90 is down."""
    steps = max(4, int(abs(end - start) / 9))
    angles = [math.radians(start + (end - start) * i / steps) for i in range(steps + 1)]
    return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]


def _round_box(x1: float, y1: float, x2: float, y2: float, r: float) -> Stroke:
    return [
        *_arc(x1 + r, y1 + r, r, r, 180, 270),
        *_arc(x2 - r, y1 + r, r, r, 270, 360),
        *_arc(x2 - r, y2 - r, r, r, 0, 90),
        *_arc(x1 + r, y2 - r, r, r, 90, 180),
        (x1, y1 + r),
    ]


def strokes(char: str, pen: float) -> list[Stroke]:
    """The strokes of a character.

    Args:
        char: One of ``0123456789ABCEHKMOPTXY``, or of ``RUS`` for the country's name.
        pen: Width of the pen as a share of the height; lines keep half of it from the edges.
    """
    h = pen / 2
    l, t, r, b = h, h, WIDTH - h, 1 - h  # noqa: E741 - left, top, right, bottom
    mx, my = WIDTH / 2, 0.5
    bow = 0.19  # radius of the rounded corners
    match char:
        case "0" | "O":
            return [_round_box(l, t, r, b, bow + 0.02)]
        case "1":
            x = mx + 0.09
            return [[(x, b), (x, t), (x - 0.05, t), (l + 0.06, t + 0.2)]]
        case "2":
            top = _arc(mx, t + 0.23, r - mx, 0.23, 185, 360)
            return [[*top, (r, t + 0.27), (r - 0.06, t + 0.43), (l, b), (r, b)]]
        case "3":
            low = _arc(mx, b - 0.255, r - mx, 0.255, -70, 175)
            return [[(l + 0.02, t), (r - 0.03, t), (mx - 0.02, my - 0.08), *low]]
        case "4":
            x = r - 0.1
            return [[(x, b), (x, my + 0.02)], [(mx + 0.02, t), (l, b - 0.24), (r, b - 0.24)]]
        case "5":
            low = _arc(mx, b - 0.27, r - mx, 0.27, -95, 175)
            return [[(r - 0.02, t), (l + 0.05, t), (l + 0.02, my - 0.01), *low[2:]]]
        case "6":
            return [
                _round_box(l, my - 0.09, r, b, bow + 0.02),
                [(l, b - 0.2), (l + 0.02, my + 0.02), (mx + 0.1, t)],
            ]
        case "7":
            return [[(l, t), (r, t), (r - 0.03, t + 0.12), (mx - 0.07, b)]]
        case "8":
            return [
                _round_box(l + 0.02, t, r - 0.02, my - 0.02, bow - 0.02),
                _round_box(l, my - 0.02, r, b, bow),
            ]
        case "9":
            return [
                _round_box(l, t, r, my + 0.09, bow + 0.02),
                [(r, t + 0.2), (r - 0.02, my - 0.02), (mx - 0.1, b)],
            ]
        case "A":
            return [[(l, b), (mx, t), (r, b)], [(l + 0.09, b - 0.27), (r - 0.09, b - 0.27)]]
        case "B":
            return [
                [(l, b), (l, t), *_arc(r - 0.2, t + 0.205, 0.18, 0.205, 270, 450), (l, my - 0.045)],
                [*_arc(r - 0.2, b - 0.25, 0.2, 0.25, 270, 450), (l, b)],
            ]
        case "C":
            upper = _arc(mx, t + 0.24, r - mx, 0.24, 360, 180)
            return [[*upper, *_arc(mx, b - 0.24, r - mx, 0.24, 180, 0)]]
        case "E":
            return [[(r - 0.01, t), (l, t), (l, b), (r, b)], [(l, my), (r - 0.06, my)]]
        case "H":
            return [[(l, t), (l, b)], [(r, t), (r, b)], [(l, my), (r, my)]]
        case "K":
            return [
                [(l, t), (l, b)],
                [(r, t), (l + 0.04, my + 0.06)],
                [(l + 0.16, my - 0.06), (r, b)],
            ]
        case "M":
            return [[(l, b), (l, t), (mx, b - 0.3), (r, t), (r, b)]]
        case "P":
            return [
                [(l, b), (l, t), *_arc(r - 0.24, t + 0.26, 0.24, 0.26, 270, 450), (l, t + 0.52)]
            ]
        case "R":
            return [*strokes("P", pen), [(mx, t + 0.52), (r, b)]]
        case "S":
            upper = _arc(mx, t + 0.225, r - mx, 0.225, 360, 90)
            return [[*upper, *_arc(mx, b - 0.245, r - mx, 0.245, -90, 180)]]
        case "T":
            return [[(l, t), (r, t)], [(mx, t), (mx, b)]]
        case "U":
            return [[(l, t), *_arc(mx, b - 0.26, r - mx, 0.26, 180, 0), (r, t)]]
        case "X":
            return [[(l, t), (r, b)], [(r, t), (l, b)]]
        case "Y":
            return [[(l, t), (mx + 0.01, my + 0.16)], [(r, t), (mx - 0.06, b), (l + 0.06, b)]]
    raise ValueError(f"no glyph for '{char}'")


def outline(
    char: str, x: float, y: float, width: float, height: float, pen: float
) -> list[npt.NDArray[np.float64]]:
    """A character's strokes placed on a plate.

    Args:
        x, y: Top left of its box; ``width``, ``height`` its size; ``pen`` its stroke: all in mm.

    Returns:
        Polylines of Nx2 mm.
    """
    scale = np.array([width / WIDTH, height])
    return [np.asarray(s) * scale + np.array([x, y]) for s in strokes(char, pen / height)]
