"""Fusion: one text out of many readings of a plate, on character probabilities, not on strings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from platestream.plates import PlateFormats
from platestream.vision.decoding import (
    FORMAT_ODDS,
    MAX_CANDIDATES,
    Character,
    PlateText,
    differing,
    shown,
)
from platestream.vision.probabilities import sequence_log_table

MOST_READINGS = 32  # of one plate; the best are kept
MOST_CANDIDATES = 16
_LEAST_SHARE = 0.05  # of its reading's likeliest; what is less likely there wins nowhere
_NAMES_KEPT = 1000
_STRAY = -12.0  # nats: what a single reading may say against a text at most
CORRELATION = 0.3  # of what consecutive readings of one plate get wrong
_FULL_WIDTH = 100.0  # pixels; a plate that wide in the frame can be read as well as a wider one


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
    def texts(self) -> tuple[str, ...]:
        """The candidates that say something."""
        return tuple(c for c in self.candidates[:MAX_CANDIDATES] if c)

    @property
    def weight(self) -> float:
        """How much it counts, 0.05 to 1: by the square of the plate's width."""
        return min(1.0, max(0.05, (self.width / _FULL_WIDTH) ** 2))


@dataclass(slots=True)
class _Kept:
    """A reading that counts, with what was found out about it.

    Attributes:
        weight: How much it counts.
        own: Its candidates' probabilities.
        left: What it leaves to all other texts.
        log_left: The logarithm, at least ``_STRAY``.
        log_likeliest: The same of the likeliest of them, at most.
        said: What it says of texts, in nats, at least ``_STRAY``, and weighted.
        runners_up: By lines: what it gives its candidates but the likeliest, by formats.
    """

    reading: TextReading
    weight: float
    own: dict[str, float]
    left: float
    log_left: float
    log_likeliest: float
    said: dict[str, float]
    runners_up: dict[int, float] = field(default_factory=dict)


class TextFusion:
    """Gathers a plate's readings and tells the text that all of them together make likeliest.

    For every candidate text of any reading, the readings' log P(text | picture), each by CTC's
    forward algorithm, are added up, weighted; the largest sum wins. A reading that went astray
    (another plate, a lamp post before it) can say no more than ``_STRAY`` against a text.
    """

    def __init__(self, correlation: float = CORRELATION) -> None:
        """Begins with no reading.

        Args:
            correlation: Of what the readings get wrong, 0 to 1; 1: all say the same thing again.
        """
        self._correlation = correlation
        self._kept: dict[int, _Kept] = {}  # by frame id
        self._candidates: list[str] = []
        self._names: dict[tuple[str, int], str | None] = {}  # formats by text and lines

    @property
    def readings(self) -> list[TextReading]:
        """Those that count, in the order in which they came; at most ``MOST_READINGS``."""
        return [one.reading for one in self._kept.values()]

    def add(self, *readings: TextReading) -> None:
        """Takes readings in; of more than ``MOST_READINGS`` the least goes.

        A second reading of a frame is passed over, and so is one that found nothing to read: it
        does not tell one text from another.

        Raises:
            ValueError: Its probabilities are not of its alphabet.
        """
        for reading in readings:
            if not reading.texts or reading.frame_id in self._kept:
                continue
            one = _heard(reading, self._candidates)
            self._kept[reading.frame_id] = one
            least_share = _LEAST_SHARE * max(one.own.values())
            self._candidates += [
                c for c, p in one.own.items() if p >= least_share and c not in self._candidates
            ]
            if len(self._kept) > MOST_READINGS:
                least = min(self._kept.values(), key=lambda k: (k.weight, k.reading.frame_id))
                del self._kept[least.reading.frame_id]
        self._measure()
        if len(self._candidates) > MOST_CANDIDATES:
            sums = self._sums()
            self._candidates.sort(key=lambda c: -sums[c])
            for dropped in self._candidates[MOST_CANDIDATES:]:
                for one in self._kept.values():
                    one.said.pop(dropped, None)
            del self._candidates[MOST_CANDIDATES:]

    def text(self, threshold: float, formats: PlateFormats) -> PlateText:
        """The fused text.

        As where one reading is decoded, a text that no plate may carry counts ``FORMAT_ODDS`` of
        one that a plate may, and a character's confidence is one, less the share of all other
        texts that differ in it; what no candidate stands for differs everywhere. Readings of one
        plate are not independent: ``n`` of them count as n / (1 + (n - 1) r), with r the
        correlation of what they get wrong (Kish's effective sample size).

        Args:
            threshold: The least confidence, 0 to 1, of a character that is believed.
            formats: What plates may carry.
        """
        if not self._kept:
            return PlateText("", 0.0, (), False)
        lines = self._lines()
        names = {c: self._name(c, lines, formats) for c in self._candidates}
        effective, scale = self._scale()
        sums = self._sums()
        logs = {
            c: scale * total + (0.0 if names[c] else math.log(FORMAT_ODDS))
            for c, total in sums.items()
        }
        best = max(logs, key=lambda c: logs[c])
        shares = {c: math.exp(log - logs[best]) for c, log in logs.items()}
        others = sum(shares.values()) - 1.0
        unknown = math.exp(min(50.0, self._rest(effective, scale) - logs[best]))
        if others > 0:
            unknown = min(unknown, self._unlisted(formats, lines) * others)
        errors = [unknown] * len(best)
        for other, share in shares.items():
            if other != best:
                for at in differing(best, other):
                    errors[at] += share
        total = unknown + sum(shares.values())
        characters = tuple(
            Character(char, max(0.0, 1.0 - error / total))
            for char, error in zip(best, errors, strict=True)
        )
        confidence = min(character.confidence for character in characters)
        fitting = sum(share for c, share in shares.items() if names[c])
        name = names[best] if fitting >= total / 2 else None
        return PlateText(
            shown(characters, threshold),
            confidence,
            characters,
            confidence >= threshold and name is not None,
            max(sums, key=lambda c: sums[c]),
            name,
            candidates=tuple(
                (c, math.log(max(share / total, 1e-300)))
                for c, share in sorted(shares.items(), key=lambda one: -one[1])
            ),
            lines=lines,
        )

    def _name(self, text: str, lines: int, formats: PlateFormats) -> str | None:
        key = (text, lines)
        if key not in self._names:
            if len(self._names) >= _NAMES_KEPT:
                self._names.clear()
            self._names[key] = formats.format_of(text, lines)
        return self._names[key]

    def _lines(self) -> int:
        """On how many lines it is written, by most of the weight; the first of equals."""
        weights: dict[int, float] = {}
        for one in self._kept.values():
            weights[one.reading.lines] = weights.get(one.reading.lines, 0.0) + one.weight
        return max(weights, key=lambda lines: weights[lines])

    def _scale(self) -> tuple[float, float]:
        """How many readings they are worth, and what brings their weights to that sum."""
        weights = [one.weight for one in self._kept.values()]
        total = sum(weights)
        count = total**2 / sum([weight**2 for weight in weights])
        effective = count / (1 + (count - 1) * self._correlation)
        return effective, effective / total

    def _measure(self) -> None:
        """Finds what readings say of the candidates that they have not been asked about."""
        alike: dict[tuple[Any, ...], list[_Kept]] = {}
        for one in self._kept.values():
            unasked = tuple([c for c in self._candidates if c not in one.said])
            if unasked:
                reading = one.reading
                key = (unasked, reading.probabilities.shape, reading.alphabet)
                alike.setdefault(key, []).append(one)
        for (unasked, _, alphabet), ones in alike.items():
            pictures = np.stack([one.reading.probabilities for one in ones])
            logs = sequence_log_table(pictures, unasked, alphabet)
            weights = np.array([[one.weight] for one in ones])
            for one, said in zip(ones, _weighted(logs, weights), strict=True):
                one.said.update(zip(unasked, said, strict=True))

    def _sums(self) -> dict[str, float]:
        """By candidate, what all readings say for it, in weighted nats."""
        said = [one.said for one in self._kept.values()]
        return {c: sum([one[c] for one in said]) for c in self._candidates}

    def _rest(self, effective: float, scale: float) -> float:
        """What all readings say at most for all texts together that are no candidates.

        Hoelder's inequality bounds the sum over texts of the product over readings by a product
        of sums, and each of these is at most what the reading leaves to such texts, times the
        power of the likeliest of them; that one is below the reading's own candidates.
        """
        total = 0.0
        for one in self._kept.values():
            total += one.weight * ((effective - 1) * one.log_likeliest + one.log_left)
        return scale * total / effective

    def _unlisted(self, formats: PlateFormats, lines: int) -> float:
        """How much readings leave to texts that they do not name, for what they give runners-up.

        The bound of ``_rest`` knows nothing of readings ruling out what others leave open; such
        texts are like the runners-up, of which that is known.
        """
        left = runners_up = 0.0
        for one in self._kept.values():
            left += one.weight * max(0.0, one.left)
            if lines not in one.runners_up:
                counted = [
                    p * (1.0 if self._name(text, lines, formats) else FORMAT_ODDS)
                    for text, p in one.own.items()
                ]
                one.runners_up[lines] = sum(counted) - max(counted)
            runners_up += one.weight * one.runners_up[lines]
        return left / runners_up if runners_up else math.inf


def _heard(reading: TextReading, candidates: Sequence[str]) -> _Kept:
    """A reading, asked for its own texts and for those of others.

    Raises:
        ValueError: Its probabilities are not of its alphabet.
    """
    texts, weight = reading.texts, reading.weight
    asked = list(dict.fromkeys([*texts, *candidates]))
    logs = sequence_log_table(reading.probabilities[None], asked, reading.alphabet)
    own = dict(zip(asked, np.exp(logs[0, : len(set(texts))]).tolist(), strict=False))
    left = 1 - sum(own.values())
    log_left = _bounded(math.log(max(1e-12, left)))
    # the last of a full list may stand there as the decoder's choice, not by its rank
    ceiling = sorted(own.values())[int(len(own) == MAX_CANDIDATES)]
    log_likeliest = min(log_left, _bounded(math.log(max(1e-12, ceiling))))
    (said,) = _weighted(logs, weight)
    return _Kept(
        reading, weight, own, left, log_left, log_likeliest, dict(zip(asked, said, strict=True))
    )


def _weighted(
    logs: npt.NDArray[np.float64], weights: float | npt.NDArray[np.float64]
) -> list[list[float]]:
    """What readings say of texts: never less than ``_STRAY``, and by their weights."""
    weighted: list[list[float]] = (np.logaddexp(logs, _STRAY) * weights).tolist()
    return weighted


def _bounded(log: float) -> float:
    """log(P + e^stray): never less than ``_STRAY``."""
    high, low = max(log, _STRAY), min(log, _STRAY)
    return high + math.log1p(math.exp(low - high))
