"""Calibration: one temperature that makes the recognizer's confidences mean what they say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from platestream.errors import DataError
from platestream.vision.decoding import calibrated
from platestream.vision.weights import load_weights, save_weights
from training.recognition.reliability import expected_calibration_error, reliability

_COLDEST, _HOTTEST = 1 / 8, 8.0
_PRIOR_SPREAD = 0.7  # of the temperature's logarithm; holds it near 1 where mistakes are few
_LEAST_READINGS = 30


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was fitted, and on what.

    Attributes:
        temperature: Of the confidences (``platestream.vision.decoding.calibrated``).
        readings: How many it was fitted on.
        mistakes: How many of those are wrong.
        before, after: Expected calibration error with temperature 1, and with the temperature
            fitted on the other half of the readings: on what it was not fitted on.
        bins_before, bins_after: The readings by confidence, as ``reliability`` gives them.
    """

    temperature: float
    readings: int
    mistakes: int
    before: float
    after: float
    bins_before: list[dict[str, Any]]
    bins_after: list[dict[str, Any]]


def calibrate(confidences: Sequence[float], right: Sequence[bool]) -> Calibration:
    """Fits a temperature to readings whose truth is known.

    Args:
        confidences: Of readings of a plate format, decoded with temperature 1.
        right: Whether each is the truth.

    Raises:
        DataError: There are too few.
    """
    if len(confidences) < _LEAST_READINGS:
        raise DataError(
            f"{len(confidences)} readings are too few to fit a temperature; "
            f"at least {_LEAST_READINGS} are needed"
        )
    temperature = fit_temperature(confidences, right)
    after = [0.0] * len(confidences)
    for half in (0, 1):
        other = fit_temperature(confidences[1 - half :: 2], right[1 - half :: 2])
        after[half::2] = [calibrated(value, other) for value in confidences[half::2]]
    return Calibration(
        temperature,
        len(confidences),
        sum(not hit for hit in right),
        expected_calibration_error(confidences, right) or 0.0,
        expected_calibration_error(after, right) or 0.0,
        reliability(confidences, right),
        reliability(after, right),
    )


def fit_temperature(confidences: Sequence[float], right: Sequence[bool]) -> float:
    """The temperature under which what happened is likeliest (Guo et al. 2017, section 4.2).

    Its logarithm has a normal prior round 0: a handful of readings without a mistake must not
    make every later one certain.
    """
    bounded = np.clip(np.asarray(confidences, np.float64), 1e-9, 1 - 1e-9)
    odds = np.log(bounded / (1 - bounded))
    signed = np.where(np.asarray(right, bool), odds, -odds)

    def cost(log_temperature: float) -> float:
        surprise = np.logaddexp(0.0, -signed / math.exp(log_temperature)).sum()
        return float(surprise + 0.5 * (log_temperature / _PRIOR_SPREAD) ** 2)

    low, high = math.log(_COLDEST), math.log(_HOTTEST)
    grid = np.linspace(low, high, 97)
    best = float(min(grid, key=cost))
    step = float(grid[1] - grid[0])
    for _ in range(12):  # halves the step; to a thousandth and finer
        step /= 2
        best = min((best - step, best, best + step), key=cost)
    return round(math.exp(min(high, max(low, best))), 4)


def write_temperature(
    source: Path, target: Path, temperature: float, threshold: float | None = None
) -> None:
    """Writes weights again, with the temperature, and a default threshold, in what they say.

    Raises:
        WeightsError: The source is missing or not a recognizer's weights.
    """
    weights = load_weights(source, "recognizer")
    config = {**weights.config, "temperature": temperature}
    if threshold is not None:
        config["threshold"] = threshold
    save_weights(
        target,
        weights.tensors,
        task="recognizer",
        architecture=weights.architecture,
        config=config,
    )
