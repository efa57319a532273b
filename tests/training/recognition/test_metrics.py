"""What chooses the best epoch."""

from __future__ import annotations

import pytest

from training.recognition.metrics import summarize


def test_a_picture_without_a_plate_weighs_as_much_as_one_with_a_plate() -> None:
    plates = [("A123BC77", "A123BC77")] * 98
    one_negative_wrong = summarize([*plates, ("A123BC77", "A123BC77"), ("", "1")])
    two_plates_wrong = summarize([*plates[:97], *[("A123BC77", "A123BC7")] * 2, ("", "")])
    assert one_negative_wrong["negatives"] == 0
    assert one_negative_wrong["score"] == pytest.approx(0.99)
    assert two_plates_wrong["score"] < one_negative_wrong["score"]


def test_fewer_wrong_characters_break_a_tie() -> None:
    near = summarize([("A123BC77", "A123BC7"), ("", "")])
    far = summarize([("A123BC77", "A1"), ("", "")])
    assert near["exact"] == far["exact"] == 0
    assert near["score"] > far["score"]


def test_what_has_no_example_counts_as_perfect() -> None:
    assert summarize([]) == {"exact": 1.0, "cer": 0.0, "negatives": 1.0, "score": 1.0}
