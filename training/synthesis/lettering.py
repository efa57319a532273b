"""Words that are no plate: dealers' names and telephones, signs, house numbers, adverts."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from training.synthesis.glyphs import glyph
from training.synthesis.strokes import SIGNS

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.uint8]

_LETTERS = [sign for sign in SIGNS if sign.isalpha()]
_CYRILLIC = list("ABEKMHOPCTXYБГДЖЗИЛПФЦЧШЭЮЯ")
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX,
          cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_COMPLEX | cv2.FONT_ITALIC)  # fmt: skip


def word(rng: np.random.Generator, longest: int = 10) -> str:
    """A made-up word of letters, Cyrillic or of both alphabets, now and then with a number."""
    pool = _CYRILLIC if rng.random() < 0.6 else _LETTERS
    count = int(rng.integers(2, max(3, longest)))
    chars = [pool[i] for i in rng.integers(0, len(pool), count)]
    if rng.random() < 0.2:
        chars += ["-", *(str(d) for d in rng.integers(0, 10, int(rng.integers(1, 4))))]
    return "".join(chars)


def telephone(rng: np.random.Generator) -> str:
    """A telephone number as adverts write it."""
    d = "".join(str(digit) for digit in rng.integers(0, 10, 10))
    forms = (f"{d[:3]}-{d[3:5]}-{d[5:7]}", f"({d[:3]}) {d[3:6]}-{d[6:8]}-{d[8:]}",
             f"8 {d[:3]} {d[3:6]} {d[6:8]} {d[8:]}", f"{d[:3]} {d[3:6]} {d[6:]}")  # fmt: skip
    return forms[int(rng.integers(len(forms)))]


def line_of_text(rng: np.random.Generator, text: str, height: int) -> Mask:
    """A line of text in the strokes of plates, or in one of OpenCV's Hershey fonts.

    Characters that have no shape are left out.

    Args:
        height: Pixels from top to base of the letters.

    Returns:
        HxW uint8 coverage, a few pixels higher than the letters.
    """
    height = max(3, height)
    if rng.random() < 0.5 and text.isascii():
        return _hershey(rng, text, height)
    stretch, pen = 0.6 + 0.2 * int(rng.integers(0, 4)), 0.1 + 0.05 * int(rng.integers(0, 4))
    gap = max(1, round(height * rng.uniform(0.1, 0.25)))
    masks = [glyph(c, height, stretch, pen) if c in SIGNS else None for c in text]
    total = sum((mask.shape[1] if mask is not None else height // 3) + gap for mask in masks)
    line = np.zeros((height + 2, total + gap), np.uint8)
    x = gap
    for mask in masks:
        if mask is None:
            x += height // 3 + gap
            continue
        line[1 : 1 + height, x : x + mask.shape[1]] = mask
        x += mask.shape[1] + gap
    return line


def _hershey(rng: np.random.Generator, text: str, height: int) -> Mask:
    font = _FONTS[int(rng.integers(len(_FONTS)))]
    thick = max(1, round(height * float(rng.uniform(0.04, 0.2))))
    size = height / 21.0  # Hershey capitals are 21 units high
    (width, _), base = cv2.getTextSize(text, font, size, thick)
    line = np.zeros((height + base + 2 * thick, width + 2 * thick), np.uint8)
    cv2.putText(line, text, (thick, height + thick), font, size, 255, thick, cv2.LINE_AA)
    return line


def ink(image: Image, mask: Mask, x: int, y: int, colour: npt.ArrayLike) -> None:
    """Paints a mask in a colour (BGR), in place; what lies outside the picture is left out."""
    top, left = max(0, y), max(0, x)
    bottom = min(image.shape[0], y + mask.shape[0])
    right = min(image.shape[1], x + mask.shape[1])
    if bottom <= top or right <= left:
        return
    share = mask[top - y : bottom - y, left - x : right - x, None].astype(np.float32) / 255
    part = image[top:bottom, left:right]
    part[:] = (part + (np.asarray(colour, np.float32) - part) * share).astype(np.uint8)
