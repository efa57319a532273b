"""Fusion: many doubtful readings of one plate make a sure one."""

from __future__ import annotations

import numpy as np
import pytest

from platestream import plates
from platestream.plates import shipped
from platestream.vision.decoding import PlateText, decode
from platestream.vision.fusion import MOST_CANDIDATES, MOST_READINGS, TextFusion, TextReading

ALPHABET = plates.alphabet()
STEPS = 30


def noisy(text: str, rng: np.random.Generator, noise: float) -> np.ndarray:
    """What a recognizer might say of a text: each character over two steps, blanks between."""
    logits = np.zeros((STEPS, len(ALPHABET) + 1))
    labels = np.zeros(STEPS, int)
    for at, char in enumerate(text):
        labels[3 * at + 1 : 3 * at + 3] = ALPHABET.index(char) + 1
    logits[np.arange(STEPS), labels] = np.where(labels > 0, 9, 14)
    # characters are misread, blanks hardly: as with real pictures
    logits += rng.normal(0, noise, logits.shape) * (labels > 0)[:, None]
    rows = np.exp(logits - logits.max(1, keepdims=True))
    return (rows / rows.sum(1, keepdims=True)).astype(np.float32)


def read(matrix: np.ndarray) -> PlateText:
    return decode(matrix, ALPHABET, 0.6, shipped())


def reading(frame_id: int, matrix: np.ndarray, width: float = 100) -> TextReading:
    texts = tuple(text for text, _ in read(matrix).candidates)
    return TextReading(frame_id, matrix, ALPHABET, texts, width)


def fused(*readings: TextReading) -> PlateText:
    fusion = TextFusion()
    fusion.add(*readings)
    return fusion.text(0.6, shipped())


def test_fusion_beats_single_readings_and_the_vote_on_strings() -> None:
    rng = np.random.default_rng(4)
    single = voted = together = 0.0
    for _ in range(15):
        text = f"M{rng.integers(100, 999)}TA{rng.integers(10, 99)}"
        matrices = [noisy(text, rng, 3.0) for _ in range(6)]
        guesses = [read(matrix).guess for matrix in matrices]
        single += np.mean([guess == text for guess in guesses])
        voted += max(guesses, key=guesses.count) == text  # of several as frequent, the first
        together += fused(*[reading(i, m) for i, m in enumerate(matrices, 1)]).guess == text
    assert together >= 11
    assert together >= voted + 3
    assert together >= single + 6


def test_the_likeliest_text_is_kept_beside_the_one_that_a_plate_may_carry() -> None:
    """A zero, a little likelier than the letter that alone may stand there."""
    rows = np.full((STEPS, len(ALPHABET) + 1), 1e-6)
    rows[:, 0] = 1
    for at, (likelier, other) in enumerate(zip("A301P0174", "A301PO174", strict=True)):
        rows[3 * at + 1] = 1e-6
        rows[3 * at + 1, ALPHABET.index(other) + 1] = 0.3
        rows[3 * at + 1, ALPHABET.index(likelier) + 1] += 0.7
    rows = (rows / rows.sum(1, keepdims=True)).astype(np.float32)
    assert (read(rows).guess, read(rows).raw) == ("A301PO174", "A301P0174")
    said = fused(reading(1, rows), reading(2, rows))
    assert (said.guess, said.raw, said.format) == ("A301PO174", "A301P0174", "ru-1")


def test_readings_that_agree_make_a_text_surer() -> None:
    rng = np.random.default_rng(8)
    matrices = [noisy("A301PO174", rng, 2.5) for _ in range(8)]
    alone = fused(reading(1, matrices[0]))
    all_of_them = fused(*[reading(i, m) for i, m in enumerate(matrices, 1)])
    assert all_of_them.text == "A301PO174"
    assert all_of_them.accepted
    assert all_of_them.format == "ru-1"
    assert all_of_them.confidence > alone.confidence


def test_confidence_tells_right_texts_from_wrong_ones() -> None:
    rng = np.random.default_rng(11)
    right, wrong = [], []
    for _ in range(30):
        text = f"M{rng.integers(100, 999)}TA{rng.integers(10, 99)}"
        said = fused(*[reading(i, noisy(text, rng, 3.2)) for i in range(1, 7)])
        (right if said.guess == text else wrong).append(said)
    assert len(right) >= 8
    assert len(wrong) >= 4
    assert np.mean([said.confidence for said in right]) > 0.3
    assert np.mean([said.confidence for said in wrong]) < 0.05
    assert not any(said.accepted for said in wrong)


def test_one_reading_is_as_sure_as_its_decoding() -> None:
    matrix = noisy("A301PO174", np.random.default_rng(2), 3.0)
    alone = fused(reading(1, matrix))
    decoded = read(matrix)
    assert alone.guess == decoded.guess
    assert alone.confidence == pytest.approx(decoded.confidence, abs=0.05)


def test_a_stray_reading_does_not_spoil_a_text() -> None:
    rng = np.random.default_rng(5)
    right = [reading(i, noisy("A301PO174", rng, 0.5)) for i in range(1, 4)]
    stray = reading(9, noisy("T777XX99", rng, 0.1))
    text = fused(*right, stray)
    assert text.text == "A301PO174"


def test_a_wide_plate_counts_more_than_narrow_ones() -> None:
    rng = np.random.default_rng(6)
    far = [reading(i, noisy("A301PO77", rng, 0.1), width=20) for i in (1, 2, 3)]
    near = reading(4, noisy("A301PO177", rng, 0.1), width=110)
    assert fused(*far, near).guess == "A301PO177"


def test_readings_that_disagree_leave_doubt() -> None:
    rng = np.random.default_rng(7)
    text = fused(reading(1, noisy("A301PO77", rng, 0.1)), reading(2, noisy("A381PO77", rng, 0.1)))
    assert text.confidence < 0.6
    assert text.text[2] == "?"
    assert not text.accepted


def test_a_text_that_no_plate_carries_is_not_accepted() -> None:
    text = fused(reading(1, noisy("777777", np.random.default_rng(3), 0.0)))
    assert text.guess == "777777"
    assert text.format is None
    assert not text.accepted


def test_memory_is_bounded_and_the_widest_stay() -> None:
    rng = np.random.default_rng(9)
    fusion = TextFusion()
    for frame_id in range(1, 100):
        text = f"A{rng.integers(100, 999)}PO77"
        fusion.add(reading(frame_id, noisy(text, rng, 1.0), width=frame_id))
    assert len(fusion.readings) == MOST_READINGS
    assert min(r.frame_id for r in fusion.readings) == 100 - MOST_READINGS
    assert len(fusion.text(0.6, shipped()).candidates) <= MOST_CANDIDATES


def test_nothing_read_is_no_text() -> None:
    assert TextFusion().text(0.6, shipped()).text == ""
    blank = np.zeros((STEPS, len(ALPHABET) + 1), np.float32)
    blank[:, 0] = 1
    assert fused(TextReading(1, blank, ALPHABET, ("",), 50)).text == ""


def test_models_of_other_alphabets_are_fused_too() -> None:
    """Two replicas may run different weights."""
    matrix = noisy("A301PO77", np.random.default_rng(1), 0.2)
    other = "".join(reversed(ALPHABET))
    columns = [0, *(ALPHABET.index(char) + 1 for char in other)]
    text = fused(reading(1, matrix), TextReading(2, matrix[:, columns], other, ("A301PO77",), 100))
    assert text.text == "A301PO77"


def test_the_same_frame_counts_once() -> None:
    fusion = TextFusion()
    one = reading(1, noisy("A301PO77", np.random.default_rng(1), 0.2))
    fusion.add(one, one)
    assert len(fusion.readings) == 1
