"""CTC probabilities as a value: packed small for the wire, and asked how likely a text is."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from platestream.errors import MessageError

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
    count, states = len(texts), 2 * max(map(len, texts), default=0) + 1
    labels = np.zeros((count, states), np.intp)  # blank, character, blank, character, …, blank
    known = np.ones(count, bool)
    for row, text in enumerate(texts):
        for at, char in enumerate(text):
            label = alphabet.find(char) + 1
            known[row] &= label > 0
            labels[row, 2 * at + 1] = label
    if probabilities.ndim == 2:
        emitted = probabilities[:, labels]  # T x count x states
    else:
        emitted = np.take_along_axis(probabilities, labels[:, None, :], 2).transpose(1, 0, 2)
    # a character may follow the one before without a blank, unless it is the same
    leap = np.zeros((count, states))
    leap[:, 3::2] = labels[:, 3::2] != labels[:, 1:-2:2]
    last = np.array([2 * len(text) for text in texts], np.intp)
    ends = _forward(emitted, leap, last)
    with np.errstate(divide="ignore"):
        logs = np.log(ends)
        small = known & (ends < _UNDERFLOW)
        if small.any():
            logs[small] = _log_forward(np.log(emitted[:, small]), np.log(leap[small]), last[small])
    result: npt.NDArray[np.float64] = np.where(known, np.minimum(logs, 0.0), -np.inf)
    return result


def _forward(
    emitted: npt.NDArray[np.float32], leap: npt.NDArray[np.float64], last: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """Probabilities of texts; exact where above ``_UNDERFLOW``.

    What is lost below the least float, 1e-308, can only have become less on its way to the end.

    Args:
        emitted: TxNxS, the probability of each state's label in each frame.
        leap: NxS, 1 where a state may follow the one two before.
        last: N, each text's last state.
    """
    steps, count, states = emitted.shape
    if steps == 0:
        return np.where(last == 0, 1.0, 0.0)
    rows = np.ascontiguousarray(emitted, np.float64)
    forward = np.zeros((count, states + 2))  # two columns more, that stay impossible
    here, before, two_before = forward[:, 2:], forward[:, 1:-1], forward[:, :-2]
    here[:, :2] = rows[0, :, :2]
    sums = np.empty((count, states))
    for step in range(1, steps):
        np.multiply(two_before, leap, out=sums)
        sums += before
        sums += here
        np.multiply(sums, rows[step], out=here)
    each = np.arange(count)
    ends: npt.NDArray[np.float64] = forward[each, last + 2] + forward[each, last + 1] * (last > 0)
    return ends


def _log_forward(
    emitted: npt.NDArray[np.float32], leap: npt.NDArray[np.float64], last: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """The same in logarithms, ten times slower, for what is too unlikely to be a float."""
    steps, count, states = emitted.shape
    forward = np.full((count, states + 2), -np.inf)
    here, before, two_before = forward[:, 2:], forward[:, 1:-1], forward[:, :-2]
    here[:, :2] = emitted[0, :, :2]
    sums = np.empty((count, states))
    for step in range(1, steps):
        np.add(two_before, leap, out=sums)
        np.logaddexp(sums, before, out=sums)
        np.logaddexp(sums, here, out=sums)
        np.add(sums, emitted[step], out=here)
    each = np.arange(count)
    ends: npt.NDArray[np.float64] = np.logaddexp(
        forward[each, last + 2], np.where(last > 0, forward[each, last + 1], -np.inf)
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
