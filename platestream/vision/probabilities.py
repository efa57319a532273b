"""CTC probabilities as a value: packed small for the wire, and asked how likely a text is."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from platestream.errors import MessageError

BLANK = 0  # the class that is no character
MAX_STEPS = 256
MAX_CLASSES = 256
_HEADER = struct.Struct(">2sHH")  # a mark with the layout's version, T, C
_MARK = b"P1"
MAX_PACKED_BYTES = _HEADER.size + MAX_STEPS * MAX_CLASSES
_NATS = 16.0  # what a byte spans; less likely than e^-16 is as good as impossible
_STEP = _NATS / 255
_UNDERFLOW = 1e-200


def pack(probabilities: npt.NDArray[np.float32]) -> bytes:
    """Packs probabilities into one byte each: their logarithm, in steps of 0.063.

    What remains after ``unpack`` differs by at most 3.2% of each probability, and by far less
    where one class has nearly all: the rows are brought back to a sum of 1.

    Args:
        probabilities: TxC, 0 to 1, T and C at most 256.

    Raises:
        MessageError: There are more steps or classes, or none.
    """
    if probabilities.ndim != 2:
        raise MessageError(f"probabilities of shape {probabilities.shape}; TxC is wanted")
    steps, classes = probabilities.shape
    _check(steps, classes)
    nats = -np.log(np.maximum(probabilities, np.float32(np.exp(-_NATS))))
    levels = np.rint(np.clip(nats, 0, _NATS) / _STEP).astype(np.uint8)
    return _HEADER.pack(_MARK, steps, classes) + levels.tobytes()


def unpack(data: bytes) -> npt.NDArray[np.float32]:
    """Unpacks what ``pack`` made: TxC float32, rows sum to 1.

    Raises:
        MessageError: It is something else, or its size is not the one it says.
    """
    if len(data) < _HEADER.size or len(data) > MAX_PACKED_BYTES:
        raise MessageError(f"packed probabilities of {len(data)} bytes")
    mark, steps, classes = _HEADER.unpack_from(data)
    if mark != _MARK:
        raise MessageError(f"packed probabilities begin with {mark!r}, not {_MARK!r}")
    _check(steps, classes)
    if len(data) != _HEADER.size + steps * classes:
        raise MessageError(
            f"packed probabilities of {len(data)} bytes say {steps} steps of {classes} classes"
        )
    levels = np.frombuffer(data, np.uint8, offset=_HEADER.size).reshape(steps, classes)
    rows = np.exp(levels.astype(np.float32) * np.float32(-_STEP))
    rows /= rows.sum(1, keepdims=True)
    unpacked: npt.NDArray[np.float32] = rows.astype(np.float32)
    return unpacked


def sequence_log_probability(
    probabilities: npt.NDArray[np.float32], text: str, alphabet: str
) -> float:
    """How likely a text is, over all its alignments: log P(text | picture), at most 0.

    Args:
        probabilities: TxC, rows sum to 1; class 0 is the blank, class ``i`` is
            ``alphabet[i - 1]``.

    Returns:
        Minus infinity for a text with a character that is not of the alphabet, or too long for T.

    Raises:
        ValueError: The number of classes is not the alphabet's plus one.
    """
    return float(sequence_log_probabilities(probabilities, (text,), alphabet)[0])


def sequence_log_probabilities(
    probabilities: npt.NDArray[np.float32], texts: Sequence[str], alphabet: str
) -> npt.NDArray[np.float64]:
    """``sequence_log_probability`` of several texts at once, which costs little more than of one.

    The CTC forward algorithm (Graves et al. 2006, section 4.1); in log space where it has to be.

    Args:
        probabilities: TxC for all texts, or NxTxC: for each text its own.

    Raises:
        ValueError: The number of classes is not the alphabet's plus one.
    """
    check_classes(probabilities, alphabet)
    if probabilities.ndim == 2:
        logs: npt.NDArray[np.float64]
        (logs,) = sequence_log_table(probabilities[None], texts, alphabet)
        return logs
    states = _states(texts, alphabet)
    own = probabilities[np.arange(len(texts)), :, states.labels]  # SxNxT
    return _logs(own.transpose(2, 0, 1), states)


def sequence_log_table(
    probabilities: npt.NDArray[np.float32], texts: Sequence[str], alphabet: str
) -> npt.NDArray[np.float64]:
    """How likely each of several texts is by each of several pictures; RxN.

    Args:
        probabilities: RxTxC, as ``sequence_log_probability`` takes each.

    Raises:
        ValueError: The number of classes is not the alphabet's plus one.
    """
    check_classes(probabilities, alphabet)
    states = _states(texts, alphabet)
    pictures, steps, _ = probabilities.shape
    by_class = np.ascontiguousarray(probabilities.transpose(1, 2, 0), np.float64)
    emitted = by_class.take(states.labels, 1)  # TxSxNxR
    columns = emitted.reshape(steps, len(states.labels), len(texts) * pictures)
    return _logs(columns, states.repeated(pictures)).reshape(len(texts), pictures).T


class _States(NamedTuple):
    """Texts as CTC's forward algorithm goes through them: blank, character, blank, …, blank.

    A text is a column: what is done to a state of all of them lies side by side in memory.

    Attributes:
        labels: SxN, the class of each state.
        leap: SxN, 1 where a state may follow the one two before.
        last: N, each text's last state.
        known: N, whether all of a text is of the alphabet.
    """

    labels: npt.NDArray[np.intp]
    leap: npt.NDArray[np.float64]
    last: npt.NDArray[np.intp]
    known: npt.NDArray[np.bool_]

    def repeated(self, times: int) -> _States:
        """Each text so many times, one after the other."""
        if times == 1:
            return self
        return _States(
            self.labels.repeat(times, 1),
            self.leap.repeat(times, 1),
            self.last.repeat(times),
            self.known.repeat(times),
        )

    def only(self, texts: npt.NDArray[np.bool_]) -> _States:
        """Some of the texts."""
        return _States(
            self.labels[:, texts], self.leap[:, texts], self.last[texts], self.known[texts]
        )


def _states(texts: Sequence[str], alphabet: str) -> _States:
    count, states = len(texts), 2 * max(map(len, texts), default=0) + 1
    labels = np.zeros((states, count), np.intp)
    known = np.ones(count, bool)
    for column, text in enumerate(texts):
        classes = _classes(text, alphabet)
        labels[1 : 2 * len(text) : 2, column] = classes
        known[column] = BLANK not in classes
    # a character may follow the one before without a blank, unless it is the same
    leap = np.zeros((states, count))
    leap[3::2] = labels[3::2] != labels[1:-2:2]
    return _States(labels, leap, np.array([2 * len(text) for text in texts], np.intp), known)


@lru_cache(maxsize=4096)  # the candidates of a plate are asked for again with each reading of it
def _classes(text: str, alphabet: str) -> tuple[int, ...]:
    """The class of each character; the blank's for one that is not of the alphabet."""
    return tuple(alphabet.find(char) + 1 for char in text)


def _logs(emitted: npt.NDArray[Any], states: _States) -> npt.NDArray[np.float64]:
    """Logarithms of the probabilities of texts.

    Args:
        emitted: TxSxN, the probability of each state's class at each step.
    """
    ends = _forward(emitted, states)
    with np.errstate(divide="ignore"):
        logs = np.log(ends)
        small = states.known & (ends < _UNDERFLOW)
        if small.any():
            logs[small] = _log_forward(emitted[:, :, small], states.only(small))
    result: npt.NDArray[np.float64] = np.where(states.known, np.minimum(logs, 0.0), -np.inf)
    return result


def _forward(emitted: npt.NDArray[Any], states: _States) -> npt.NDArray[np.float64]:
    """Probabilities of texts; exact where above ``_UNDERFLOW``.

    What is lost below the least float, 1e-308, can only have become less on its way to the end.

    Args:
        emitted: TxSxN, the probability of each state's class at each step.
    """
    leap, last = states.leap, states.last
    if len(emitted) == 0:
        return np.where(last == 0, 1.0, 0.0)
    rows = np.ascontiguousarray(emitted, np.float64)
    forward = np.zeros((len(leap) + 2, len(last)))  # two rows more, that stay impossible
    here, before, two_before = forward[2:], forward[1:-1], forward[:-2]
    here[:2] = rows[0, :2]
    sums = np.empty_like(leap)
    for row in rows[1:]:
        np.multiply(two_before, leap, out=sums)
        sums += before
        sums += here
        np.multiply(sums, row, out=here)
    each = np.arange(len(last))
    ends: npt.NDArray[np.float64] = forward[last + 2, each] + forward[last + 1, each] * (last > 0)
    return ends


def _log_forward(emitted: npt.NDArray[Any], states: _States) -> npt.NDArray[np.float64]:
    """The same in logarithms, ten times slower, for what is too unlikely to be a float."""
    rows = np.log(emitted, dtype=np.float64)
    leap, last = np.log(states.leap), states.last
    forward = np.full((len(leap) + 2, len(last)), -np.inf)
    here, before, two_before = forward[2:], forward[1:-1], forward[:-2]
    here[:2] = rows[0, :2]
    sums = np.empty_like(leap)
    for row in rows[1:]:
        np.add(two_before, leap, out=sums)
        np.logaddexp(sums, before, out=sums)
        np.logaddexp(sums, here, out=sums)
        np.add(sums, row, out=here)
    each = np.arange(len(last))
    ends: npt.NDArray[np.float64] = np.logaddexp(
        forward[last + 2, each], np.where(last > 0, forward[last + 1, each], -np.inf)
    )
    return ends


def check_classes(probabilities: npt.NDArray[np.float32], alphabet: str) -> None:
    """Refuses probabilities that are not of an alphabet.

    Raises:
        ValueError: The number of classes is not the alphabet's plus one.
    """
    if probabilities.ndim not in (2, 3) or probabilities.shape[-1] != len(alphabet) + 1:
        raise ValueError(
            f"probabilities of shape {probabilities.shape} for an alphabet of {len(alphabet)}"
        )


def _check(steps: int, classes: int) -> None:
    if not (1 <= steps <= MAX_STEPS and 1 <= classes <= MAX_CLASSES):
        raise MessageError(
            f"probabilities of {steps} steps and {classes} classes; the limits are {MAX_STEPS} "
            f"and {MAX_CLASSES}"
        )
