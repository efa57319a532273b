"""Fusion: one text out of many readings of a plate, on character probabilities, not on strings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from platestream import plates
from platestream.vision.decoding import Character, PlateText
from platestream.vision.probabilities import sequence_log_probabilities

FormatOf = Callable[[str, int], str | None]

MOST_READINGS = 32  # of one plate; the best are kept
MOST_CANDIDATES = 16
_CANDIDATES_OF_A_READING = 4
_STRAY = -12.0  # nats: what a single reading may say against a text at most
_CORRELATION = 0.3  # of what consecutive readings of one plate get wrong
_FULL_WIDTH = 80.0  # pixels; a plate that wide in the frame can be read as well as a wider one


@dataclass(frozen=True, slots=True)
class TextReading:
    """What one look at a plate says of its text.

    Attributes:
        frame_id: The frame; a plate has one reading of it.
        probabilities: TxC float32, rows sum to 1, class 0 the blank.
        alphabet: What the other classes are: class ``i`` is ``alphabet[i - 1]``.
        candidates: The likeliest texts, best first; ``?`` in none of them.
        width: The plate's width in the frame, in pixels.
        lines: On how many lines it is written.
    """

    frame_id: int
    probabilities: npt.NDArray[np.float32] = field(repr=False, compare=False)
    alphabet: str
    candidates: tuple[str, ...]
    width: float
    lines: int = 1

    @property
    def weight(self) -> float:
        """How much it counts: by the plate's width, 0 to 1."""
        return min(1.0, max(0.1, self.width / _FULL_WIDTH))


class TextFusion:
    """Gathers a plate's readings and tells the text that all of them together make likeliest.

    For every candidate text of any reading, the readings' log P(text | picture), each by CTC's
    forward algorithm, are added up, weighted; the largest sum wins. A reading that went astray
    (another plate, a lamp post before it) can say no more than ``_STRAY`` against a text.

    Attributes:
        readings: Those that count, the oldest first; at most ``MOST_READINGS``.
    """

    def __init__(self) -> None:
        self.readings: list[TextReading] = []
        self._logs: dict[int, dict[str, float]] = {}  # by frame id, then by text
        self._candidates: list[str] = []

    def add(self, reading: TextReading) -> None:
        """Takes a reading in; of more than ``MOST_READINGS`` the least goes.

        A second reading of a frame is passed over, and so is one that found nothing to read: it
        does not tell one text from another.

        Raises:
            ValueError: Its probabilities are not of its alphabet.
        """
        texts = [c for c in reading.candidates[:_CANDIDATES_OF_A_READING] if c]
        if not texts or reading.frame_id in self._logs:
            return
        self._logs[reading.frame_id] = self._measure(reading, [*self._candidates, *texts])
        self.readings.append(reading)
        new = [c for c in texts if c not in self._candidates]
        for other in self.readings[:-1] if new else ():
            self._logs[other.frame_id] |= self._measure(other, new)
        self._candidates += new
        if len(self.readings) > MOST_READINGS:
            least = min(self.readings, key=lambda r: (r.weight, r.frame_id))
            self.readings.remove(least)
            del self._logs[least.frame_id]
        if len(self._candidates) > MOST_CANDIDATES:
            sums = self._sums()
            self._candidates.sort(key=lambda c: -sums[c])
            for dropped in self._candidates[MOST_CANDIDATES:]:
                for logs in self._logs.values():
                    logs.pop(dropped, None)
            del self._candidates[MOST_CANDIDATES:]

    def text(self, threshold: float, format_of: FormatOf = plates.format_of) -> PlateText:
        """The fused text.

        A character's confidence is the fused probability of all candidates that have it at its
        place. Readings of one plate are not independent: ``n`` of them count as
        n / (1 + (n - 1) r), with r the correlation of what they get wrong (Kish's effective
        sample size), before probabilities are compared. What no candidate stands for keeps the
        share that the readings leave over.

        Args:
            threshold: The least confidence, 0 to 1, of a character that is believed.
            format_of: The format that a text fits on so many lines; None if it fits none.
        """
        if not self.readings:
            return PlateText("", 0.0, (), False)
        sums = self._sums()
        best = max(self._candidates, key=lambda c: sums[c])
        weights = np.array([r.weight for r in self.readings])
        total = float(weights.sum())
        count = total**2 / float((weights**2).sum())
        effective = count / (1 + (count - 1) * _CORRELATION)
        scale = effective / total
        logs = np.array([scale * sums[c] for c in self._candidates] + [scale * self._rest()])
        shares = np.exp(logs - logs.max())
        shares /= shares.sum()
        share = dict(zip(self._candidates, shares, strict=False))
        same_length = sum(p for c, p in share.items() if len(c) == len(best))
        characters = tuple(
            Character(
                char,
                min(1.0, same_length,
                    sum(p for c, p in share.items() if c[at : at + 1] == char)),
            )
            for at, char in enumerate(best)
        )  # fmt: skip
        confidence = float(min(c.confidence for c in characters))
        lines = max((r.lines for r in self.readings), key=self._weight_of_lines)
        name = format_of(best, lines)
        return PlateText(
            "".join(c.char if c.confidence >= threshold else "?" for c in characters),
            confidence,
            characters,
            confidence >= threshold and name is not None,
            best,
            name,
            candidates=tuple(
                (c, math.log(max(p, 1e-300)))
                for c, p in sorted(share.items(), key=lambda one: -one[1])
            ),
        )

    def _weight_of_lines(self, lines: int) -> float:
        return sum(r.weight for r in self.readings if r.lines == lines)

    def _measure(self, reading: TextReading, texts: Sequence[str]) -> dict[str, float]:
        logs = sequence_log_probabilities(reading.probabilities, texts, reading.alphabet)
        return dict(zip(texts, logs.tolist(), strict=True))

    def _sums(self) -> dict[str, float]:
        """By candidate, what all readings say for it, in weighted nats."""
        return {
            c: sum(r.weight * _bounded(self._logs[r.frame_id][c]) for r in self.readings)
            for c in self._candidates
        }

    def _rest(self) -> float:
        """What all readings say for some text that is no candidate."""
        total = 0.0
        for reading in self.readings:
            known = sum(math.exp(log) for log in self._logs[reading.frame_id].values())
            total += reading.weight * _bounded(math.log(max(1e-12, 1 - known)))
        return total


def _bounded(log: float) -> float:
    return float(np.logaddexp(log, _STRAY))
