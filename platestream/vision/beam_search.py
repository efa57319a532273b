"""CTC prefix beam search: the likeliest texts, and the likeliest that a plate may carry.

After Hannun et al. 2014 (arXiv:1408.2873), without a language model. One search keeps two beams
over the same prefixes: the likeliest of all, and the likeliest from which an allowed text can
still be reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from platestream.grammar import State

WIDTH = 8
LEAST_CLASS = 1e-3  # a class less likely than this does not count in that frame
_LEAST_SHARE = 1e-5  # a prefix that is less likely than the best by this is dropped
_UNDERFLOW = 1e-150


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A text, its probability over all alignments that were kept, and the formats it fits."""

    text: str
    probability: float
    formats: tuple[str, ...]


class _Prefix:
    """A text that has been read so far.

    ``blank`` and ``char`` are the probabilities that its last frame was a blank, or its last
    character; the ``next_`` ones gather the same for the frame after.
    """

    __slots__ = (
        "blank", "char", "children", "last", "next_blank", "next_char", "parent", "state", "total",
    )  # fmt: skip

    def __init__(self, parent: _Prefix | None, last: str, state: State | None) -> None:
        self.parent = parent
        self.last = last
        self.state = state
        self.blank = self.char = self.next_blank = self.next_char = self.total = 0.0
        self.children: dict[str, _Prefix] = {}

    def text(self) -> str:
        """The whole text."""
        chars = []
        prefix = self
        while prefix.parent is not None:
            chars.append(prefix.last)
            prefix = prefix.parent
        return "".join(reversed(chars))


_total = attrgetter("total")


def search(
    probabilities: npt.NDArray[np.float32],
    alphabet: str,
    grammar: State | None = None,
    *,
    width: int = WIDTH,
    least_class: float = LEAST_CLASS,
    least_share: float = _LEAST_SHARE,
) -> list[Hypothesis]:
    """Finds the likeliest texts.

    Args:
        probabilities: TxC, rows sum to 1; class 0 is the blank, class ``i`` is
            ``alphabet[i - 1]``.
        grammar: The automaton's state before the first character; without it no text is allowed.
        width: How many prefixes are kept, and how many of those that may become allowed.
        least_class: Classes less likely than this in a frame do not count there.
        least_share: A prefix that is less likely than the best one by this factor is dropped.

    Returns:
        At most twice ``width`` texts, the likeliest first.
    """
    root = _Prefix(None, "", grammar)
    root.blank = root.total = 1.0
    beam = [root]
    scale = 1.0  # what all probabilities in the beam have to be multiplied by
    before = -1
    for frame in _frames(probabilities, alphabet, least_class):
        if len(frame) == 1:
            char, probability, label = frame[0]
            if label == before:  # the same again, and nothing else: no text changes
                scale *= probability
                continue
            before = label
        else:
            before = -1
        reached: list[_Prefix] = []
        for prefix in beam:
            for char, probability, _ in frame:
                if not char:
                    _add(prefix, prefix.total * probability, 0.0, reached)
                elif char == prefix.last:
                    _add(prefix, 0.0, prefix.char * probability, reached)
                    if prefix.blank:
                        _add(_child(prefix, char), 0.0, prefix.blank * probability, reached)
                else:
                    _add(_child(prefix, char), 0.0, prefix.total * probability, reached)
        for prefix in beam:  # those that are not reached again are over
            prefix.blank = prefix.char = prefix.total = 0.0
        for prefix in reached:
            prefix.blank, prefix.char = prefix.next_blank, prefix.next_char
            prefix.total = prefix.blank + prefix.char
            prefix.next_blank = prefix.next_char = 0.0
        beam = _prune(reached, width, least_share)
        if beam and beam[0].total < _UNDERFLOW:
            for prefix in beam:
                prefix.blank, prefix.char = prefix.blank / _UNDERFLOW, prefix.char / _UNDERFLOW
                prefix.total /= _UNDERFLOW
            scale *= _UNDERFLOW
    return [
        Hypothesis(p.text(), p.total * scale, p.state.formats if p.state is not None else ())
        for p in beam
    ]


def _frames(
    probabilities: npt.NDArray[np.float32], alphabet: str, least_class: float
) -> list[list[tuple[str, float, int]]]:
    """For every frame its classes that count: character (empty: blank), probability, class."""
    frames: list[list[tuple[str, float, int]]] = [[] for _ in probabilities]
    steps, labels = np.nonzero(probabilities >= least_class)
    kept = probabilities[steps, labels].tolist()
    for step, label, probability in zip(steps.tolist(), labels.tolist(), kept, strict=True):
        if probability > 0:
            char = alphabet[label - 1] if label else ""
            frames[step].append((char, probability, label))
    return frames


def _child(prefix: _Prefix, char: str) -> _Prefix:
    child = prefix.children.get(char)
    if child is None:
        state = prefix.state.next.get(char) if prefix.state is not None else None
        child = prefix.children[char] = _Prefix(prefix, char, state)
    return child


def _add(prefix: _Prefix, blank: float, char: float, reached: list[_Prefix]) -> None:
    if not prefix.next_blank and not prefix.next_char and (blank or char):
        reached.append(prefix)
    prefix.next_blank += blank
    prefix.next_char += char


def _prune(prefixes: list[_Prefix], width: int, least_share: float) -> list[_Prefix]:
    """The likeliest, and the likeliest of those that may become allowed; best first."""
    least = max(map(_total, prefixes), default=0.0) * least_share
    ranked = sorted((p for p in prefixes if p.total > least), key=_total, reverse=True)
    if len(ranked) <= width:
        return ranked
    open_ones = [p for p in ranked[width:] if p.state is not None]
    room = width - sum(p.state is not None for p in ranked[:width])
    return ranked[:width] + (open_ones[:room] if room > 0 else [])
