"""Masks of characters: each has its own shape, in the size asked for."""

from __future__ import annotations

import numpy as np
import pytest

from platestream import plates
from training.synthesis.glyphs import glyph
from training.synthesis.strokes import SIGNS, width


@pytest.mark.parametrize("char", SIGNS)
def test_a_mask_fills_its_box(char: str) -> None:
    mask = glyph(char, 76)
    assert mask.shape == (76, round(76 * width(char)))
    assert 0.1 < (mask > 127).mean() < 0.95
    if char not in "-.":
        assert mask[:3].max() > 200
        assert mask[-3:].max() > 200
        assert mask[:, :4].max() > 100
        assert mask[:, -4:].max() > 100


def test_no_two_signs_of_the_alphabet_look_alike() -> None:
    """0 and O are told apart by width; in one box all others differ in a tenth of the pixels."""
    boxes = {
        c: np.asarray(glyph(c, 60, stretch=0.6 / width(c)) > 127, int) for c in plates.alphabet()
    }
    for a in boxes:
        for b in boxes:
            if a < b and {a, b} != {"0", "O"}:
                assert np.abs(boxes[a] - boxes[b]).mean() > 0.08, (a, b)
    assert width("O") > 1.2 * width("0")


def test_a_heavier_pen_covers_more() -> None:
    assert glyph("E", 76, pen=0.2).mean() > 1.3 * glyph("E", 76, pen=0.12).mean()


def test_holes_are_where_a_reader_looks_for_them() -> None:
    eight, zero, b = glyph("8", 100), glyph("0", 100), glyph("B", 100)
    middle = eight.shape[1] // 2
    assert eight[25, middle] < 50
    assert eight[72, middle] < 50
    assert eight[46, middle] > 200
    assert zero[50, zero.shape[1] // 2] < 50
    assert b[50, b.shape[1] // 2] > 200
    assert b[30, b.shape[1] // 2] < 50
    assert b[72, b.shape[1] // 2] < 50


def test_an_unknown_character_is_refused() -> None:
    with pytest.raises(ValueError, match="no shape for '!'"):
        glyph("!", 40)
