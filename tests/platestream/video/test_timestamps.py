"""Time stamps: kept where they can be true, repaired where they cannot."""

from __future__ import annotations

import pytest

from platestream.video import LIVE_GAP_S, Timestamps

STEP = 0.04
WRAP = 2**33 / 90_000


def placed(stamps: list[float | None], clocks: list[float] | None = None) -> list[float]:
    times = Timestamps(STEP, longest_gap_s=LIVE_GAP_S if clocks else 600.0)
    if clocks is None:
        return [times.place(stamp) for stamp in stamps]
    return [times.place(stamp, clock) for stamp, clock in zip(stamps, clocks, strict=True)]


@pytest.mark.parametrize("start", [0.0, 3.5, -2.0, 2**32 / 90_000 - 0.1, 2.0**32, 1e9])
def test_a_variable_rate_is_kept_wherever_it_begins(start: float) -> None:
    times = [0.0, 0.04, 0.08, 0.5, 0.54, 30.0, 30.001]
    assert placed([start + t for t in times]) == pytest.approx(times, abs=1e-5)


def test_missing_stamps_get_the_nominal_rate() -> None:
    assert placed([None, None, None]) == pytest.approx([0, 0.04, 0.08])
    assert placed([5.0, None, 5.08]) == pytest.approx([0, 0.04, 0.08])


def test_stamps_that_stand_still_or_fall_a_little_still_rise() -> None:
    assert placed([0, 0.04, 0.03, 0.12]) == pytest.approx([0, 0.04, 0.08, 0.12])
    still = placed([7.0] * 100)
    assert still == pytest.approx([n * STEP for n in range(100)])


@pytest.mark.parametrize("jump", [-7200.0, 7200.0, -5.0])
def test_a_jump_goes_on_at_the_nominal_rate_and_keeps_what_follows(jump: float) -> None:
    stamps = [10_000.0, 10_000.04, 10_000.08 + jump, 10_000.5 + jump, 10_000.54 + jump]
    times = Timestamps(STEP)
    assert [times.place(s) for s in stamps] == pytest.approx([0, 0.04, 0.08, 0.5, 0.54])
    assert times.jumps == 1


@pytest.mark.parametrize("wrap", [2**33, 2**32])
def test_a_counter_that_wraps_loses_no_time(wrap: int) -> None:
    ticks = [wrap - 5000, wrap - 1400, wrap + 40_000, wrap + 43_600]
    times = Timestamps(STEP)
    got = [times.place(tick % wrap / 90_000) for tick in ticks]
    assert got == pytest.approx([0, 0.04, 0.5, 0.54])
    assert times.jumps == 0


def test_days_of_running_wrap_again_and_again() -> None:
    times = Timestamps(60.0)
    hours = 24 * 10
    for minute in range(hours * 60):
        assert times.place((minute * 60.0) % WRAP) == pytest.approx(minute * 60.0, abs=1e-3)


def test_live_stamps_that_jump_go_on_by_the_clock() -> None:
    stamps = [100.0, 100.04, 9000.0, 9000.04, 50.0, 50.04]
    clocks = [0.0, 0.05, 0.13, 0.17, 0.21, 0.3]
    expected = [0, 0.04, 0.13, 0.17, 0.21, 0.25]
    assert placed(list(stamps), clocks) == pytest.approx(expected)


def test_a_real_pause_of_a_live_source_is_kept() -> None:
    stamps, clocks = [100.0, 100.04, 160.0, 160.04], [0.0, 0.1, 60.3, 60.4]
    assert placed(list(stamps), clocks) == pytest.approx([0, 0.04, 60.0, 60.04])


def test_a_live_source_without_stamps_goes_by_the_clock() -> None:
    got = placed([None] * 4, [0.0, 0.2, 0.2, 0.55])
    assert got == pytest.approx([0, 0.2, 0.2005, 0.55])


def test_after_a_reconnect_the_clock_says_where_it_goes_on() -> None:
    times = Timestamps(STEP, longest_gap_s=LIVE_GAP_S)
    assert [times.place(50.0, 0.0), times.place(50.04, 0.04)] == pytest.approx([0, 0.04])
    times.restart()
    assert [times.place(0.0, 20.0), times.place(0.04, 20.1)] == pytest.approx([20, 20.04])
    times.restart()  # at once, and the camera's clock was fast: still rising
    assert times.place(0.0, 19.0) == pytest.approx(20.08)
    assert times.jumps == 0
