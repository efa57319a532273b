"""CTC decoding: from per-position probabilities to a text, its format and its confidences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from platestream.grammar import State
from platestream.plates import PlateFormats
from platestream.vision.beam_search import Hypothesis, search
from platestream.vision.probabilities import (
    BLANK,
    check_classes,
    sequence_log_probabilities,
)

OTHER = "*"  # stands in the network's alphabet for any sign that no plate we know carries
UNSURE = "?"  # stands in a text for a character that is likelier wrong than right
LIKELY = 0.5
"""A character below this confidence is not shown. To accept a text takes more (its threshold): a
text that is shown whole and not accepted is worth looking at, and often right."""

SURE = 0.95
"""A best-path text this likely, of some format, is taken as it is: what the search could find
beside it has the rest of the probability at most, and never wins."""

FORMAT_ODDS = 0.1
"""What a text that no plate may carry counts beside one that a plate may: the likeliest allowed
text is taken where its probability is at least this share of the likeliest text's. On 535 checked
crops and four badly photographed copies of each, 0.1 let the formats mend 14 texts more than beam
search alone and spoil none; smaller ones mended up to five more, and made more wrong plates of
what cannot be read (``platestream evaluate decoding``)."""

MAX_CANDIDATES = 5


@dataclass(frozen=True, slots=True)
class Character:
    """A character and how sure the recognizer is of it, 0 to 1."""

    char: str
    confidence: float


@dataclass(frozen=True, slots=True)
class PlateText:
    """What is written on a plate.

    Attributes:
        text: ``?`` stands for a character that is likelier wrong than right or below the
            threshold, whichever is less, and for a sign that no plate we know carries; empty
            where there is no plate.
        confidence: The least of the characters' confidences: one wrong character is a wrong
            plate. For the empty text, how sure the recognizer is that nothing is there.
        characters: Each with its best guess, below the threshold too.
        accepted: Whether every character reaches the threshold and the text is one that a plate
            may carry.
        raw: The likeliest text of all, whether a plate may carry it or not; never with ``?``.
        format: The plate format that the characters fit, as ``ru-1``; None if they fit none, or
            if that the picture shows any text of a format is less likely than not.
        probabilities: What was decoded: TxC float32, rows sum to 1, class 0 the blank.
        candidates: The likeliest texts with the logarithms of their probabilities, best first.
        lines: On how many lines it was read.
    """

    text: str
    confidence: float
    characters: tuple[Character, ...]
    accepted: bool
    raw: str = ""
    format: str | None = None
    probabilities: npt.NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    candidates: tuple[tuple[str, float], ...] = ()
    lines: int = 1

    @property
    def guess(self) -> str:
        """The text with its best guess for every character, below the threshold too."""
        return "".join(character.char for character in self.characters)


def greedy(probabilities: npt.NDArray[np.float32], alphabet: str) -> list[Character]:
    """Best-path CTC decoding: repeats are merged, blanks dropped.

    Args:
        probabilities: TxC, rows sum to 1; class 0 is the blank, class ``i`` is
            ``alphabet[i - 1]``.

    Returns:
        Characters in order; a character's confidence is its highest probability in its run.

    Raises:
        ValueError: The number of classes is not the alphabet's plus one.
    """
    check_classes(probabilities, alphabet)
    labels, shares = probabilities.argmax(1).tolist(), probabilities.max(1).tolist()
    return _merge(labels, shares, alphabet)


def decode(
    probabilities: npt.NDArray[np.float32],
    alphabet: str,
    threshold: float,
    formats: PlateFormats | None = None,
    *,
    lines: int = 1,
    temperature: float = 1.0,
) -> PlateText:
    """Turns one plate's probabilities into its text; ``decode_batch`` says how."""
    check_classes(probabilities, alphabet)
    return decode_batch(
        probabilities[None], alphabet, threshold, formats, lines=(lines,), temperature=temperature
    )[0]


def decode_batch(
    probabilities: npt.NDArray[np.float32],
    alphabet: str,
    threshold: float,
    formats: PlateFormats | None = None,
    *,
    lines: Sequence[int] | None = None,
    temperature: float = 1.0,
) -> list[PlateText]:
    """Turns the probabilities of plates into their texts.

    The best path is taken where its text is sure and of a format; elsewhere a beam search finds
    the likeliest texts. Of them one that a plate may carry is chosen unless another is far
    likelier (``FORMAT_ODDS``); then that one is the text, and it is not accepted. A character's
    confidence is the posterior probability that it stands there: one, less the share of all other
    texts that differ in it.

    Args:
        probabilities: NxTxC, rows sum to 1; class 0 is the blank, class ``i`` is
            ``alphabet[i - 1]``.
        threshold: The least confidence, 0 to 1, of a character that is believed.
        formats: What plates may carry; without it they may carry anything.
        lines: Of each plate: 1 or 2; all 1 without it. A format has its number of lines.
        temperature: Of the confidences; above 1 brings them towards one half (``calibrated``).

    Raises:
        ValueError: The number of classes is not the alphabet's plus one.
    """
    check_classes(probabilities, alphabet)
    if not len(probabilities):
        return []
    labels = probabilities.argmax(2).tolist()
    shares = probabilities.max(2).tolist()
    paths = [_merge(a, b, alphabet) for a, b in zip(labels, shares, strict=True)]
    texts = ["".join(c.char for c in path) for path in paths]
    logs = sequence_log_probabilities(probabilities, texts, alphabet).tolist()
    decoded = []
    for index, (path, text) in enumerate(zip(paths, texts, strict=True)):
        rows = probabilities[index]
        count = lines[index] if lines else 1
        grammar = None if formats is None else formats.grammar(count)
        name = _format(text, grammar)
        likelihood = min(1.0, math.exp(logs[index]))
        if likelihood >= SURE and (name is not None or formats is None or not text):
            chosen, raw = text, text
            candidates: tuple[tuple[str, float], ...] = ((text, logs[index]),)
            errors = _spread(1.0 - likelihood, path)
        else:
            found = search(rows, alphabet, grammar)
            best = choose(found, grammar)
            chosen, raw, candidates = best.text, found[0].text, _candidates(found, best)
            name = _name(best, found, grammar)
            errors = _errors(best, found, grammar) if chosen else []
        if not chosen:
            nothing = float(rows[:, BLANK].min()) if len(rows) else 0.0
            decoded.append(PlateText("", nothing, (), False, raw, None, rows, candidates, count))
            continue
        characters = tuple(
            Character(char, calibrated(1.0 - error, temperature))
            for char, error in zip(chosen, errors, strict=True)
        )
        confidence = min(character.confidence for character in characters)
        accepted = confidence >= threshold and (name is not None or formats is None)
        decoded.append(
            PlateText(
                shown(characters, threshold),
                confidence,
                characters,
                accepted,
                raw,
                name,
                rows,
                candidates,
                count,
            )
        )
    return decoded


def shown(characters: Sequence[Character], threshold: float) -> str:
    """The text of some characters, with ``?`` for those that are not to be believed.

    Args:
        threshold: The least confidence, 0 to 1, that a text is accepted with.
    """
    least = min(threshold, LIKELY)
    return "".join(
        c.char if c.confidence >= least and c.char != OTHER else UNSURE for c in characters
    )


def calibrated(probability: float, temperature: float) -> float:
    """A probability with its log-odds divided by a temperature.

    Temperature scaling (Guo et al. 2017, arXiv:1706.04599) of the two outcomes, right and wrong.
    It is applied here and not to the network's logits: those are softened frame by frame, and
    over forty frames even a slightly softer frame leaves no text likely.
    """
    if temperature == 1.0:
        return min(1.0, max(0.0, probability))
    bounded = min(1.0 - 1e-9, max(1e-9, probability))
    odds = math.log(bounded / (1.0 - bounded)) / temperature
    return 1.0 / (1.0 + math.exp(-odds))


def _merge(labels: list[int], shares: list[float], alphabet: str) -> list[Character]:
    characters: list[Character] = []
    previous = BLANK
    for label, confidence in zip(labels, shares, strict=True):
        if label != BLANK:
            if label != previous:
                characters.append(Character(alphabet[label - 1], confidence))
            elif confidence > characters[-1].confidence:
                characters[-1] = Character(alphabet[label - 1], confidence)
        previous = label
    return characters


def _format(text: str, grammar: State | None) -> str | None:
    state = grammar.after(text) if grammar is not None else None
    return state.formats[0] if state is not None and state.formats else None


def choose(
    found: Sequence[Hypothesis], grammar: State | None, odds: float = FORMAT_ODDS
) -> Hypothesis:
    """Of the texts that a search found the one to believe: the likeliest, or one of a format.

    Args:
        grammar: What plates may carry; None: anything.
        odds: What a text that they may not carry counts beside one that they may.
    """
    return max(found, key=lambda one: _weight(one, grammar, odds))


def _weight(one: Hypothesis, grammar: State | None, odds: float = FORMAT_ODDS) -> float:
    """What a text counts: nothing at all may be seen, but what is seen should be a plate's."""
    free = grammar is None or one.formats or not one.text
    return one.probability * (1.0 if free else odds)


def _total(found: Sequence[Hypothesis], grammar: State | None) -> tuple[float, float]:
    """What all texts count together, and how much of it is of texts the search did not keep."""
    unknown = max(0.0, 1.0 - sum(one.probability for one in found))
    return unknown + sum(_weight(one, grammar) for one in found), unknown


def _name(chosen: Hypothesis, found: Sequence[Hypothesis], grammar: State | None) -> str | None:
    if not chosen.formats:
        return None
    total, _ = _total(found, grammar)
    fitting = sum(one.probability for one in found if one.formats)
    return chosen.formats[0] if fitting >= total / 2 else None


def _candidates(found: Sequence[Hypothesis], chosen: Hypothesis) -> tuple[tuple[str, float], ...]:
    """The likeliest few, the chosen one always among them."""
    few = list(found[:MAX_CANDIDATES])
    if chosen not in few:
        few[-1] = chosen
    return tuple((one.text, math.log(one.probability)) for one in few)


def _spread(error: float, path: Sequence[Character]) -> list[float]:
    """Shares what is left to other texts out among characters, by how unsure each one's run is."""
    doubts = [1.0 - character.confidence for character in path]
    total = sum(doubts)
    return [error * doubt / total if total else error for doubt in doubts]


def _errors(chosen: Hypothesis, found: Sequence[Hypothesis], grammar: State | None) -> list[float]:
    """For each character of a text, the share of all other texts that differ in it.

    What the search has not kept may be any text: it is held against the most doubtful character
    in full, and against the others in proportion to their doubt.
    """
    total, unknown = _total(found, grammar)
    errors = [0.0] * len(chosen.text)
    for other in found:
        if other is not chosen:
            weight = _weight(other, grammar)
            for at in differing(chosen.text, other.text):
                errors[at] += weight
    worst = max(errors)
    return [
        min(1.0, (error + unknown * (error / worst if worst else 1.0)) / total) for error in errors
    ]


def differing(text: str, other: str) -> list[int]:
    """Positions of a text in which another one does not say the same.

    Texts of one length are compared place by place. Otherwise what lies between their common
    beginning and their common end differs; if the other only has more there, the place before
    which it stands.
    """
    if len(text) == len(other):
        return [at for at, (a, b) in enumerate(zip(text, other, strict=True)) if a != b]
    shorter = min(len(text), len(other))
    head = 0
    while head < shorter and text[head] == other[head]:
        head += 1
    tail = 0
    while tail < shorter - head and text[-1 - tail] == other[-1 - tail]:
        tail += 1
    return list(range(head, len(text) - tail)) or [min(head, len(text) - 1)]
