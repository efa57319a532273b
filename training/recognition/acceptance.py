"""What is accepted, and how much of it is right, with a threshold that other plates have chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from platestream.vision.decoding import PlateText
from training.intervals import share

RIGHT = 0.997  # of accepted readings: what a threshold is chosen for


def cross_fitted(pairs: Sequence[tuple[str, str, PlateText]]) -> dict[str, Any]:
    """Judges each half of the plates with the threshold that the other half would have chosen.

    A temperature need not be fitted anew: it leaves the order of confidences, so that whatever
    it is, the same readings lie above a threshold chosen after it.

    Args:
        pairs: Files, true texts and readings; pictures of one plate (text) lie in one half.

    Returns:
        Of both halves together the readings accepted, and of these the right ones; and the
        thresholds, the first half's own first.
    """
    numbers = {text: number for number, text in enumerate(sorted({t for _, t, _ in pairs}))}
    halves: list[list[tuple[float, bool]]] = [[], []]
    for _, text, read in pairs:
        if read.format is not None:
            halves[numbers[text] % 2].append((read.confidence, read.guess == text))
    thresholds = [least_threshold(half) for half in halves]
    accepted = [
        right
        for half, threshold in zip(halves, reversed(thresholds), strict=True)
        for confidence, right in half
        if confidence >= threshold
    ]
    return {
        "accepted": share(len(accepted), len(pairs)),
        "accepted_right": share(sum(accepted), len(accepted)),
        "thresholds": tuple(round(threshold, 4) for threshold in thresholds),
    }


def least_threshold(judged: Sequence[tuple[float, bool]]) -> float:
    """The lowest confidence from which on ``RIGHT`` of the readings are right; 1 if there is none.

    Args:
        judged: Confidences, 0 to 1, and whether the reading is right.
    """
    best, right = 1.0, 0
    for count, (confidence, hit) in enumerate(sorted(judged, key=lambda one: -one[0]), 1):
        right += hit
        if right >= RIGHT * count:
            best = confidence
    return best
