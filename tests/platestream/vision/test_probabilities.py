"""Probabilities on the wire, and how likely a text is."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platestream.errors import MessageError
from platestream.messages import MAX_PROBABILITIES
from platestream.vision import probabilities as module
from platestream.vision.probabilities import (
    MAX_PACKED_BYTES,
    pack,
    sequence_log_probabilities,
    sequence_log_probability,
    sequence_log_table,
    unpack,
)

ALPHABET = "AB"


def drawn(steps: int, classes: int, seed: int, spread: float = 0.2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(classes, spread), steps).astype(np.float32)


@given(st.integers(1, 60), st.integers(2, 40), st.integers(0, 10**6))
def test_what_is_packed_comes_back_nearly_as_it_was(steps: int, classes: int, seed: int) -> None:
    rows = drawn(steps, classes, seed)
    back = unpack(pack(rows))
    assert back.shape == rows.shape
    assert back.dtype == np.float32
    np.testing.assert_allclose(back.sum(1), 1, atol=1e-5)
    likely = rows > 1e-5
    np.testing.assert_allclose(back[likely], rows[likely], rtol=0.07)


def test_a_packed_plate_is_small_and_a_message_may_hold_it() -> None:
    assert len(pack(drawn(48, 23, 0))) < 1200
    assert MAX_PACKED_BYTES <= MAX_PROBABILITIES
    assert unpack(pack(drawn(256, 256, 0))).shape == (256, 256)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (257, 5), (5, 257), (5,), (2, 3, 4)])
def test_too_much_or_nothing_is_not_packed(shape: tuple[int, ...]) -> None:
    with pytest.raises(MessageError):
        pack(np.full(shape, 0.5, np.float32))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"P1",
        b"XX" + pack(drawn(3, 4, 0))[2:],
        pack(drawn(3, 4, 0))[:-1],
        pack(drawn(3, 4, 0)) + b"\0",
        b"P1\xff\xff\xff\xff",
        b"P1\0\0\0\0",
        bytes(MAX_PACKED_BYTES + 1),
    ],
)
def test_what_is_not_packed_probabilities_is_refused(data: bytes) -> None:
    with pytest.raises(MessageError):
        unpack(data)


@given(st.binary(max_size=200))
def test_noise_is_refused_or_is_probabilities(data: bytes) -> None:
    for candidate in (data, b"P1\0\x02\0\x03" + data):
        try:
            rows = unpack(candidate)
        except MessageError:
            continue
        np.testing.assert_allclose(rows.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("underflow", [module._UNDERFLOW, 1e9])
@given(st.integers(1, 5), st.integers(0, 10**6))
@settings(deadline=None, max_examples=30)
def test_a_texts_probability_is_the_sum_over_its_paths(
    underflow: float, steps: int, seed: int
) -> None:
    """In plain numbers and, as for tiny ones, in logarithms."""
    rows = drawn(steps, 3, seed, 0.7)
    texts: dict[str, float] = {}
    for path in itertools.product(range(3), repeat=steps):
        merged = "".join(ALPHABET[i - 1] for i, _ in itertools.groupby(path) if i)
        share = math.prod(float(rows[t, i]) for t, i in enumerate(path))
        texts[merged] = texts.get(merged, 0) + share
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_UNDERFLOW", underflow)
        logs = sequence_log_probabilities(rows, list(texts), ALPHABET)
        own = sequence_log_probabilities(np.stack([rows] * len(texts)), list(texts), ALPHABET)
    np.testing.assert_allclose(np.exp(logs), list(texts.values()), rtol=1e-3, atol=1e-12)
    np.testing.assert_allclose(own, logs)


@pytest.mark.parametrize("underflow", [0.0, 1e-4, 2.0])
def test_every_text_is_asked_of_every_picture(underflow: float) -> None:
    pictures = np.stack([drawn(12, 3, seed, 0.7) for seed in range(5)])
    texts = ["AB", "", "ABBA", "AZ", "B" * 13]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_UNDERFLOW", underflow)
        table = sequence_log_table(pictures, texts, ALPHABET)
    each = [[sequence_log_probability(one, text, ALPHABET) for text in texts] for one in pictures]
    np.testing.assert_allclose(table, each)
    assert np.isfinite(table[:, :3]).all()
    assert sequence_log_table(pictures, [], ALPHABET).shape == (5, 0)


def test_impossible_texts_have_no_probability() -> None:
    rows = drawn(3, 3, 1)
    assert sequence_log_probability(rows, "ABAB", ALPHABET) == -math.inf  # longer than the rows
    assert sequence_log_probability(rows, "AA" + "A", ALPHABET) == -math.inf  # no room for blanks
    assert sequence_log_probability(rows, "AZ", ALPHABET) == -math.inf


def test_a_very_unlikely_text_is_not_impossible() -> None:
    rows = np.full((256, 3), 1e-5, np.float32)
    rows[:, 0] = 1 - 2e-5
    rows[::2] = rows[::2, ::-1]
    log = sequence_log_probability(rows, "", ALPHABET)
    assert log == pytest.approx(128 * math.log(1e-5), rel=1e-3)


def test_the_wrong_alphabet_is_refused() -> None:
    with pytest.raises(ValueError, match="alphabet of 3"):
        sequence_log_probability(drawn(3, 3, 1), "A", "ABC")
