"""Thresholds chosen on one half of the plates, judged on the other."""

from __future__ import annotations

import pytest

from platestream.vision.decoding import Character, PlateText
from training.recognition.acceptance import cross_fitted, least_threshold


def reading(text: str, confidence: float, form: str | None = "ru-1") -> PlateText:
    characters = tuple(Character(char, confidence) for char in text)
    return PlateText(text, confidence, characters, True, text, form)


def test_the_lowest_threshold_that_is_safe_is_chosen() -> None:
    sure = [(0.9 + i / 10_000, True) for i in range(500)]
    assert least_threshold(sure) == pytest.approx(0.9)
    assert least_threshold([*sure, (0.85, False), (0.8, True)]) == pytest.approx(0.8)
    assert least_threshold([*sure, (0.85, False), (0.84, False)]) == pytest.approx(0.85)
    assert least_threshold([(0.99, False), (0.9, True)]) == 1.0
    assert least_threshold([]) == 1.0


def test_each_half_is_judged_with_the_threshold_of_the_other() -> None:
    plates = [f"A{i:03}AA77" for i in range(40)]
    pairs = [(f"{t}.png", t, reading(t, 0.9 if i % 2 else 0.7)) for i, t in enumerate(plates)]
    # a mistake in the first half, whose own threshold would keep it out; the other's does not
    pairs[0] = ("0.png", plates[0], reading("A999AA77", 0.95))
    result = cross_fitted(pairs)
    assert result["thresholds"] == (1.0, 0.9)
    assert (result["accepted"]["hits"], result["accepted"]["of"]) == (1, 40)
    assert result["accepted_right"]["hits"] == 0


def test_a_plate_lies_in_one_half_and_a_text_without_a_format_is_never_accepted() -> None:
    pairs = [(f"{i}.png", "A001AA77", reading("A001AA77", 0.9)) for i in range(8)]
    pairs += [(f"b{i}.png", "B002BB77", reading("B002BB77", 0.95)) for i in range(8)]
    pairs.append(("c.png", "C003CC77", reading("C003CC77", 0.99, form=None)))
    result = cross_fitted(pairs)
    assert result["thresholds"] == (0.9, 0.95)
    assert (result["accepted"]["hits"], result["accepted"]["of"]) == (8, 17)
