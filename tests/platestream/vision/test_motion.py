"""The motion filter: it learns a velocity, and knows how little it knows."""

from __future__ import annotations

import numpy as np
import pytest

from platestream.vision.motion import Coordinate


def test_a_velocity_is_learnt_from_noisy_looks() -> None:
    rng = np.random.default_rng(1)
    one = Coordinate.at(0, 2, 500)
    for step in range(1, 40):
        one = one.after(0.04, 20).corrected(step * 0.04 * 250 + rng.normal(0, 2), 2)
    assert one.velocity == pytest.approx(250, abs=25)
    assert one.position == pytest.approx(39 * 0.04 * 250, abs=5)


def test_an_expectation_widens_with_time_and_narrows_with_a_look() -> None:
    one = Coordinate.at(0, 2, 100)
    soon, late = one.after(0.1, 20), one.after(1.0, 20)
    assert one.position_variance < soon.position_variance < late.position_variance
    assert soon.corrected(3, 2).position_variance < min(soon.position_variance, 4)
    assert late.spread(2) > soon.spread(2) > 0
    assert late.distance(50, 2) < soon.distance(50, 2)
