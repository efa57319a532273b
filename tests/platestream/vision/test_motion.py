"""The motion filter: it learns a velocity, and knows how little it knows."""

from __future__ import annotations

import numpy as np
import pytest

from platestream.vision.motion import Coordinate, approach, elapsed_s, moved


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


def seen(t: float) -> np.ndarray:
    """Corners of a plate that a camera sees come nearer, straight on and to the side."""
    x, y, z = -2 + 1.5 * t, 1.2, 12 - 9 * t
    quad = np.array([[x, y], [x + 0.52, y], [x + 0.52, y + 0.11], [x, y + 0.11]])
    return (1000 * quad / z).astype(np.float32)


def rates(t: float) -> tuple[tuple[float, float], float]:
    before, after = seen(t - 1e-2), seen(t + 1e-2)
    vx, vy = (after.mean(0) - before.mean(0)) / 2e-2
    return (vx, vy), float(np.log(np.ptp(after[:, 0]) / np.ptp(before[:, 0])) / 2e-2)


def test_a_plate_that_comes_straight_on_is_where_perspective_has_it() -> None:
    velocity, growth = rates(0.0)
    there = moved(seen(0.0), velocity, growth, 0.4)
    np.testing.assert_allclose(there, seen(0.4), atol=0.5)
    assert np.abs(seen(0.0) - seen(0.4)).max() > 30
    assert approach(growth, 0.4) == pytest.approx(12 / (12 - 9 * 0.4), rel=1e-3)


def test_what_comes_straight_on_is_followed_without_lag() -> None:
    x = Coordinate.at(seen(0)[:, 0].mean(), 1, 500)
    for step in range(1, 30):
        _, growth = rates(0.03 * (step - 1))
        x = x.after(0.03, 20, approach(growth, 0.03)).corrected(seen(0.03 * step)[:, 0].mean(), 1)
    assert x.velocity == pytest.approx(rates(0.03 * 29)[0][0], abs=3)


@pytest.mark.parametrize("growth", [-1e3, -2.0, 0.0, 2.0, 1e3, float("inf")])
def test_no_plate_grows_or_shrinks_beyond_twice(growth: float) -> None:
    quad = seen(0.0)
    for seconds in (0.0, 0.3, 1.0, 1e6):
        there = moved(quad, (0.0, 0.0), growth, seconds)
        ratio = np.ptp(there[:, 0]) / np.ptp(quad[:, 0])
        assert 0.499 < ratio < 2.001


def test_doubt_about_the_growth_widens_what_is_expected() -> None:
    one = Coordinate(0, 200, 1, 0, 1)
    sure, unsure = one.after(0.3, 0, 1.2), one.after(0.3, 0, 1.2, 0.25)
    assert unsure.position == sure.position
    assert unsure.position_variance > sure.position_variance + 10
    assert unsure.velocity_variance > sure.velocity_variance
    assert unsure.covariance**2 < unsure.position_variance * unsure.velocity_variance


@pytest.mark.parametrize(
    ("then_pts_s", "now_pts_s", "seconds"),
    [(1.0, 1.04, 0.04), (1.0, 1.0, 0.0), (90_000.0, 0.5, 0.3), (None, 1.0, 0.3), (1.0, None, 0.3)],
)
def test_time_passes_as_the_video_says_and_else_by_the_clock(
    then_pts_s: float | None, now_pts_s: float | None, seconds: float
) -> None:
    assert elapsed_s(1000, 1300, then_pts_s, now_pts_s) == pytest.approx(seconds)
