"""CTC decoding, with no model."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platestream import plates
from platestream.grammar import State, compile_formats
from platestream.plates import PlateFormats
from platestream.vision.beam_search import Hypothesis, search
from platestream.vision.decoding import (
    FORMAT_ODDS,
    calibrated,
    decode,
    decode_batch,
    differing,
    greedy,
)

ALPHABET = "AB7"
PLATES = plates.alphabet()


def rows(*best: tuple[int, float]) -> np.ndarray:
    """Probabilities whose best class and its share are given row by row."""
    out = np.zeros((len(best), len(ALPHABET) + 1), np.float32)
    for row, (label, share) in zip(out, best, strict=True):
        row[:] = (1 - share) / len(ALPHABET)
        row[label] = share
    return out


def spelled(*choices: dict[str, float]) -> np.ndarray:
    """Probabilities of a plate: for each place its characters and shares; blanks between."""
    out = np.full((2 * len(choices) + 1, len(PLATES) + 1), 1e-7, np.float32)
    out[::2, 0] = 1.0
    for row, choice in zip(out[1::2], choices, strict=True):
        for char, share in choice.items():
            row[PLATES.index(char) + 1] = share
        row[0] = max(1e-7, 1 - sum(choice.values()))
    return (out / out.sum(1, keepdims=True)).astype(np.float32)


def sure(text: str) -> list[dict[str, float]]:
    return [{char: 0.9999} for char in text]


def formats() -> PlateFormats:
    return plates.shipped()


def text(probabilities: np.ndarray) -> str:
    return "".join(c.char for c in greedy(probabilities, ALPHABET))


def exhaustive(probabilities: np.ndarray, alphabet: str) -> dict[str, float]:
    """Every text's probability, path by path."""
    texts: dict[str, float] = defaultdict(float)
    for path in itertools.product(range(len(alphabet) + 1), repeat=len(probabilities)):
        share = math.prod(float(probabilities[t, label]) for t, label in enumerate(path))
        merged = [label for label, _ in itertools.groupby(path) if label]
        texts["".join(alphabet[label - 1] for label in merged)] += share
    return texts


def test_repeats_merge_and_blanks_part() -> None:
    assert text(rows((1, 0.9), (1, 0.9), (0, 0.9), (1, 0.9), (3, 0.9), (3, 0.9))) == "AA7"


def test_only_blanks_are_the_empty_text() -> None:
    read = decode(rows((0, 0.99), (0, 0.8)), ALPHABET, 0.5)
    assert (read.text, read.characters, read.accepted) == ("", (), False)
    assert read.confidence == pytest.approx(0.8)


def test_a_characters_greedy_confidence_is_the_best_of_its_run() -> None:
    (character,) = greedy(rows((1, 0.6), (1, 0.9), (1, 0.7)), ALPHABET)
    assert character.confidence == pytest.approx(0.9)


def test_the_worst_character_decides() -> None:
    read = decode(rows((1, 0.99), (2, 0.6), (3, 0.95)), ALPHABET, 0.8)
    assert (read.text, read.accepted, read.raw) == ("AB7", False, "AB7")
    assert read.confidence == min(c.confidence for c in read.characters)
    assert [c.char for c in read.characters] == ["A", "B", "7"]


@pytest.mark.parametrize(
    ("share", "threshold", "text"), [(0.45, 0.8, "A?7"), (0.6, 0.8, "AB7"), (0.45, 0.4, "AB7")]
)
def test_a_character_likelier_wrong_than_right_is_not_shown(
    share: float, threshold: float, text: str
) -> None:
    others = (1 - share) / 2
    rows_ = spelled({"A": 1.0}, {"B": share, "8": others, "E": others}, {"7": 1.0})
    read = decode(rows_, PLATES, threshold)
    assert read.characters[1].confidence == pytest.approx(share, abs=0.01)
    assert (read.text, read.raw) == (text, "AB7")


def test_a_characters_confidence_is_the_share_of_the_texts_that_have_it() -> None:
    """Two places in doubt, each on its own: their posteriors can be said by hand."""
    unsure = [*sure("A12"), {"3": 0.7, "8": 0.3}, *sure("BC7"), {"7": 0.8, "1": 0.2}]
    read = decode(spelled(*unsure), PLATES, 0.5, formats())
    assert [c.char for c in read.characters] == list("A123BC77")
    assert read.characters[3].confidence == pytest.approx(0.7, abs=0.01)
    assert read.characters[7].confidence == pytest.approx(0.8, abs=0.01)
    assert read.characters[0].confidence > 0.99


def test_a_sure_plate_is_accepted_and_its_format_named() -> None:
    read = decode(spelled(*sure("A301PO174")), PLATES, 0.6, formats())
    assert (read.text, read.format, read.accepted) == ("A301PO174", "ru-1", True)
    ((best, log),) = read.candidates
    assert best == "A301PO174"
    assert math.exp(log) == pytest.approx(0.9999**9, abs=1e-3)


def test_two_lines_make_another_format() -> None:
    probabilities = spelled(*sure("A301PO174"))
    assert decode(probabilities, PLATES, 0.6, formats(), lines=2).format == "ru-1a"
    both = decode_batch(np.stack([probabilities] * 2), PLATES, 0.6, formats(), lines=[2, 1])
    assert [one.format for one in both] == ["ru-1a", "ru-1"]
    assert decode(spelled(*sure("AB12377")), PLATES, 0.6, formats(), lines=2).format is None


def test_a_format_mends_a_letter_that_was_nearly_a_digit() -> None:
    read = decode(spelled({"0": 0.6, "O": 0.4}, *sure("301PO174")), PLATES, 0.6, formats())
    assert read.raw == "0301PO174"
    assert [c.char for c in read.characters] == list("O301PO174")
    assert read.format == "ru-1"
    assert {"0301PO174", "O301PO174"} <= {one for one, _ in read.candidates}


def test_a_format_never_invents_a_plate() -> None:
    """What is surely no plate stays as it is, and is not accepted."""
    for foreign in ("0301PO174", "AB123CX", "77", "A301PO00"):
        read = decode(spelled(*sure(foreign)), PLATES, 0.6, formats())
        assert (read.text, read.raw, read.format, read.accepted) == (foreign, foreign, None, False)
    unlikely = FORMAT_ODDS / 2
    read = decode(
        spelled({"0": 1 - unlikely, "O": unlikely}, *sure("301PO174")), PLATES, 0.6, formats()
    )
    assert (read.text, read.format, read.accepted) == ("0301PO174", None, False)


def test_a_format_is_not_named_where_no_plate_is_likely() -> None:
    """Of a plate of another alphabet each letter looks like several: no text is likely."""
    vague = {"A": 0.2, "B": 0.2, "8": 0.2, "0": 0.2, "H": 0.2}
    read = decode(spelled(*[vague] * 8), PLATES, 0.1, formats())
    assert read.characters
    assert (read.format, read.accepted) == (None, False)


def test_nothing_is_not_made_a_plate() -> None:
    faint = [{char: 0.3} for char in "A301PO174"]
    read = decode(spelled(*faint), PLATES, 0.6, formats())
    assert not read.accepted
    assert decode(spelled(), PLATES, 0.6, formats()).text == ""


def test_any_text_will_do_without_formats() -> None:
    assert decode(rows((1, 0.99), (2, 0.99)), ALPHABET, 0.6).accepted


def test_one_and_many_come_to_the_same() -> None:
    rng = np.random.default_rng(0)
    noisy = rng.dirichlet(np.full(len(PLATES) + 1, 0.05), (7, 24)).astype(np.float32)
    noisy[0, :19] = spelled(*sure("A301PO174"))
    noisy[0, 19:] = np.eye(len(PLATES) + 1, dtype=np.float32)[0]
    many = decode_batch(noisy, PLATES, 0.6, formats())
    assert many == [decode(one, PLATES, 0.6, formats()) for one in noisy]
    assert many[0].text == "A301PO174"
    assert decode_batch(noisy[:0], PLATES, 0.6, formats()) == []


def test_the_wrong_number_of_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="alphabet of 3"):
        greedy(np.zeros((4, 9), np.float32), ALPHABET)
    with pytest.raises(ValueError, match="alphabet of 3"):
        decode(np.zeros((4, 9), np.float32), ALPHABET, 0.5)


def allowed_texts() -> State:
    return compile_formats({"x": ["AB", "7"], "y": ["7", "A", "7"], "z": ["A", ["77", "B"]]})


random_rows = st.tuples(
    st.integers(1, 5), st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.5, 2.0])
).map(
    lambda drawn: (
        np.random.default_rng(drawn[1])
        .dirichlet(np.full(len(ALPHABET) + 1, drawn[2]), drawn[0])
        .astype(np.float32)
    )
)


@given(random_rows)
@settings(deadline=None, max_examples=60)
def test_a_wide_beam_finds_what_trying_every_path_finds(probabilities: np.ndarray) -> None:
    truth = exhaustive(probabilities, ALPHABET)
    found = search(
        probabilities, ALPHABET, allowed_texts(), width=10_000, least_class=0, least_share=0
    )
    assert found[0].probability == pytest.approx(max(truth.values()), rel=1e-4)
    for one in found:
        assert one.probability == pytest.approx(truth[one.text], rel=1e-3, abs=1e-12)
    assert sum(one.probability for one in found) == pytest.approx(1, abs=1e-4)
    allowed = {"A7": "x", "B7": "x", "7A7": "y", "A77": "z", "AB": "z"}
    assert {one.text: one.formats[0] for one in found if one.formats} == {
        key: name for key, name in allowed.items() if truth.get(key, 0) > 0
    }


@given(random_rows)
@settings(deadline=None, max_examples=60)
def test_a_narrow_beam_keeps_an_allowed_text(probabilities: np.ndarray) -> None:
    """However unlikely: the allowed texts have places of their own in the beam."""
    truth = exhaustive(probabilities, ALPHABET)
    grammar = compile_formats({"x": ["B"]})
    found = search(probabilities, ALPHABET, grammar, width=2, least_class=0, least_share=0)
    (only,) = [one for one in found if one.formats]
    assert only.text == "B"
    assert only.probability == pytest.approx(truth["B"], rel=1e-3)


def test_a_long_improbable_row_does_not_underflow() -> None:
    even = np.full((256, len(PLATES) + 1), 1 / (len(PLATES) + 1), np.float32)
    found = search(even, PLATES, formats().grammar(1))
    assert all(isinstance(one, Hypothesis) and one.probability >= 0 for one in found)
    assert not decode(even, PLATES, 0.6, formats()).accepted


@pytest.mark.parametrize(
    ("a", "b", "places"),
    [
        ("A12", "A12", []),
        ("A12", "A13", [2]),
        ("A12", "A1", [2]),
        ("A12", "A112", [2]),
        ("A12", "A124", [2]),
        ("A112", "A12", [2]),
        ("A12", "", [0, 1, 2]),
    ],
)
def test_places_that_differ(a: str, b: str, places: list[int]) -> None:
    assert differing(a, b) == places


def test_temperature_moves_confidence_towards_one_half_or_away() -> None:
    assert calibrated(0.9, 1.0) == 0.9
    assert 0.5 < calibrated(0.9, 2.0) < 0.9 < calibrated(0.9, 0.5) < 1
    assert calibrated(0.5, 3.0) == pytest.approx(0.5)
    assert 0 <= calibrated(0.0, 2.0) < calibrated(1.0, 2.0) <= 1
    unsure = spelled({"A": 0.8, "B": 0.2}, *sure("301PO174"))
    cold = decode(unsure, PLATES, 0.6, formats(), temperature=0.5)
    assert cold.confidence > decode(unsure, PLATES, 0.6, formats()).confidence
