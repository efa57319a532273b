"""CTC decoding, with no model."""

from __future__ import annotations

import numpy as np
import pytest

from platestream.vision.decoding import decode, greedy

ALPHABET = "AB7"


def rows(*best: tuple[int, float]) -> np.ndarray:
    """Probabilities whose best class and its share are given row by row."""
    out = np.zeros((len(best), len(ALPHABET) + 1), np.float32)
    for row, (label, share) in zip(out, best, strict=True):
        row[:] = (1 - share) / len(ALPHABET)
        row[label] = share
    return out


def text(probabilities: np.ndarray) -> str:
    return "".join(c.char for c in greedy(probabilities, ALPHABET))


def test_repeats_merge_and_blanks_part() -> None:
    assert text(rows((1, 0.9), (1, 0.9), (0, 0.9), (1, 0.9), (3, 0.9), (3, 0.9))) == "AA7"


def test_only_blanks_are_the_empty_text() -> None:
    read = decode(rows((0, 0.99), (0, 0.8)), ALPHABET, 0.5)
    assert (read.text, read.characters, read.accepted) == ("", (), False)
    assert read.confidence == pytest.approx(0.8)


def test_a_characters_confidence_is_the_best_of_its_run() -> None:
    (character,) = greedy(rows((1, 0.6), (1, 0.9), (1, 0.7)), ALPHABET)
    assert character.confidence == pytest.approx(0.9)


def test_the_worst_character_decides() -> None:
    read = decode(rows((1, 0.99), (2, 0.5), (3, 0.95)), ALPHABET, 0.6)
    assert (read.text, read.accepted) == ("A?7", False)
    assert read.confidence == pytest.approx(0.5)
    assert [c.char for c in read.characters] == ["A", "B", "7"]


def test_a_sure_text_that_no_plate_carries_is_not_accepted() -> None:
    sure = rows((1, 0.99), (2, 0.99))
    assert decode(sure, ALPHABET, 0.6, lambda text, lines: "any").accepted
    assert not decode(sure, ALPHABET, 0.6, lambda text, lines: None).accepted


def test_the_wrong_number_of_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="alphabet of 3"):
        greedy(np.zeros((4, 9), np.float32), ALPHABET)
