"""CTC decoding: from per-position probabilities to characters with confidences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BLANK = 0
OTHER = "*"  # stands in the network's alphabet for any sign that no plate we know carries


@dataclass(frozen=True, slots=True)
class Character:
    """A character and how sure the recognizer is of it, 0 to 1."""

    char: str
    confidence: float


@dataclass(frozen=True, slots=True)
class PlateText:
    """What is written on a plate.

    Attributes:
        text: ``?`` stands for a character below the threshold; empty where there is no plate.
        confidence: The least of the characters' confidences: one wrong character is a wrong
            plate. For the empty text, how sure the recognizer is that nothing is there.
        characters: Each with its best guess, below the threshold too.
        accepted: Whether every character reaches the threshold and the text is one that a plate
            may carry.
    """

    text: str
    confidence: float
    characters: tuple[Character, ...]
    accepted: bool


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
    if probabilities.ndim != 2 or probabilities.shape[1] != len(alphabet) + 1:
        raise ValueError(
            f"probabilities of shape {probabilities.shape} for an alphabet of {len(alphabet)}"
        )
    characters: list[Character] = []
    previous = BLANK
    for row, best in zip(probabilities, probabilities.argmax(1), strict=True):
        label = int(best)
        if label != BLANK:
            confidence = float(row[label])
            if label == previous:
                if confidence > characters[-1].confidence:
                    characters[-1] = Character(alphabet[label - 1], confidence)
            else:
                characters.append(Character(alphabet[label - 1], confidence))
        previous = label
    return characters


def decode(
    probabilities: npt.NDArray[np.float32],
    alphabet: str,
    threshold: float,
    fits: Callable[[str], bool] = bool,
) -> PlateText:
    """Turns one plate's probabilities into its text.

    Args:
        probabilities: TxC, as ``greedy`` takes them.
        threshold: The least confidence, 0 to 1, of a character that is believed.
        fits: Whether a plate may carry a text; it decides on acceptance and never changes a text.
    """
    characters = tuple(greedy(probabilities, alphabet))
    if not characters:
        nothing = float(probabilities[:, BLANK].min()) if len(probabilities) else 0.0
        return PlateText("", nothing, (), False)
    confidence = min(character.confidence for character in characters)
    text = "".join(c.char if c.confidence >= threshold else "?" for c in characters)
    accepted = confidence >= threshold and fits(text)
    return PlateText(text, min(1.0, confidence), characters, accepted)
