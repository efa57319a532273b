"""Confidences and what they are worth."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from platestream.errors import DataError, OutputError, WeightsError
from platestream.vision.decoding import calibrated
from platestream.vision.model_file import default_path
from platestream.vision.recognizer import Recognizer
from platestream.vision.weights import load_weights
from training.recognition.calibration import calibrate, fit_temperature, write_temperature
from training.recognition.reliability import (
    draw_diagram,
    expected_calibration_error,
    reliability,
    risk_coverage,
)


def drawn(count: int, temperature: float) -> tuple[list[float], list[bool]]:
    """Readings whose true chances are what a model says, brought to a temperature."""
    rng = np.random.default_rng(3)
    said = rng.beta(4, 1, count)
    right = rng.random(count) < [calibrated(float(one), temperature) for one in said]
    return said.tolist(), right.tolist()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_temperature_that_was_there_is_found(temperature: float) -> None:
    confidences, right = drawn(4000, temperature)
    assert fit_temperature(confidences, right) == pytest.approx(temperature, rel=0.15)
    found = calibrate(confidences, right)
    assert found.after < 0.03
    if temperature != 1.0:
        assert found.after < found.before / 2
    assert (found.readings, found.mistakes) == (4000, right.count(False))


def test_few_readings_without_a_mistake_do_not_make_certain() -> None:
    assert fit_temperature([0.9] * 40, [True] * 40) > 0.3
    with pytest.raises(DataError, match="too few"):
        calibrate([0.9] * 5, [True] * 5)


def test_calibration_error_by_hand() -> None:
    confidences, right = [0.95, 0.95, 0.55, 0.55], [True, True, True, False]
    assert expected_calibration_error(confidences, right) == pytest.approx(0.05)
    assert expected_calibration_error([1.0], [False]) == pytest.approx(1.0)
    assert expected_calibration_error([], []) is None
    rows = reliability(confidences, right)
    assert [(r["of"], r["right"]) for r in rows] == [(2, 0.5), (2, 1.0)]


def test_risk_and_coverage_by_hand() -> None:
    (low, high) = risk_coverage([0.95, 0.8, 0.6], [True, True, False], 4, (0.5, 0.9))
    assert (low["accepted"]["hits"], low["accepted"]["of"], low["right"]["share"]) == (3, 4, 0.6667)
    assert (high["accepted"]["share"], high["right"]["share"]) == (0.25, 1.0)


def test_the_diagram_shows_bars_as_high_as_shares(tmp_path: Path) -> None:
    for share in (1.0, 0.2):
        right = [number < 100 * share for number in range(100)]
        draw_diagram(tmp_path / "d" / "a.png", [("one", reliability([0.95] * 100, right))])
        picture = cv2.imread(str(tmp_path / "d" / "a.png"))
        blue = (picture[..., 0].astype(int) - picture[..., 2]) > 80
        tall = int(blue.any(1).sum())
        assert tall == pytest.approx(480 * share, abs=12)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        draw_diagram(tmp_path / "file" / "a.png", [("one", [])])


def test_weights_keep_the_temperature_and_the_recognizer_uses_it(tmp_path: Path) -> None:
    source, target = default_path("recognizer", ".safetensors"), tmp_path / "w.safetensors"
    write_temperature(source, target, 3.0, 0.77)
    before, after = load_weights(source, "recognizer"), load_weights(target, "recognizer")
    assert after.config == {**before.config, "temperature": 3.0, "threshold": 0.77}
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (32, 160), dtype=np.uint8) for _ in range(8)]
    plain = Recognizer.load(source, temperature=1.0).predict(noise)
    warm = Recognizer.load(target)
    assert warm.threshold == 0.77
    for a, b in zip(plain, warm.predict(noise), strict=True):
        assert [c.confidence for c in b.characters] == pytest.approx(
            [calibrated(c.confidence, 3.0) for c in a.characters]
        )
    write_temperature(source, target, -1.0)
    with pytest.raises(WeightsError, match="temperature"):
        Recognizer.load(target)
