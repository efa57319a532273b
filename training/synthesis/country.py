"""Crops of any country's plates, drawn from nothing but their formats."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from platestream.errors import DataError
from platestream.plates import PlateFormat
from training.synthesis.crop import SyntheticCrop, photographed, random_cut
from training.synthesis.plain_plate import plain_plate
from training.synthesis.strokes import SIGNS
from training.synthesis.surface import mount

Image = npt.NDArray[np.uint8]

_WIDTH_MM = {1: 520.0, 2: 290.0}  # by lines; of plates as they are about the world


def country_crop(
    form: PlateFormat, rng: np.random.Generator, grounds: Sequence[Image] = ()
) -> SyntheticCrop:
    """A plate of a format with a random text, as a camera would see it.

    Size and place of the characters are plain, not the country's: the upper line's and the lower
    line's are as high as each other, in the strokes of Russian plates.

    Args:
        grounds: Pictures without plates to put it on; drawn ones where there are none.

    Raises:
        DataError: A character of the format has no shape.
    """
    check_shapes(form)
    symbols = [_any_of(slot, rng) for slot in form.slots]
    text = "".join(symbols)
    rows = _rows(form, symbols)
    size_mm = (_WIDTH_MM[form.lines], _WIDTH_MM[form.lines] / form.aspect)
    plate = mount(plain_plate(rows, size_mm, rng), rng, size_mm[0])
    corners = random_cut(rng, size_mm, form.lines)
    return photographed(plate, corners, text, form.lines, rng, grounds)


def check_shapes(form: PlateFormat) -> None:
    """Sees that every character of a format can be drawn.

    Raises:
        DataError: One has no shape; ``strokes.SIGNS`` has them all.
    """
    needed = {char for slot in form.slots for option in slot for char in option}
    missing = sorted(needed - set(SIGNS))
    if missing:
        raise DataError(
            f"format '{form.name}': there is no drawn shape for '{missing[0]}'; there are {SIGNS}"
        )


def _any_of(slot: frozenset[str], rng: np.random.Generator) -> str:
    options = sorted(slot)
    return options[int(rng.integers(len(options)))]


def _rows(form: PlateFormat, symbols: Sequence[str]) -> list[str]:
    """The text line by line, with the gaps and dashes between its characters."""
    rows = [""] * form.lines
    left = iter(symbols)
    read = 0
    for sign in form.spaced:
        written = sign if sign in " -" else next(left)
        row = 0 if form.lines == 1 or read < form.split else 1
        rows[row] += written
        read += 0 if sign in " -" else len(written)
    return [row.strip() for row in rows]
