"""What comes in bursts, released at its own speed; the clock is the test's."""

from __future__ import annotations

import pytest

from platestream.video import pacer
from platestream.video.pacer import BurstPacer


class Clock:
    """Stands still but where somebody sleeps."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pacer, "time", clock)
    return clock


def play(clock: Clock, one: BurstPacer, pieces: list[tuple[float, list[float]]]) -> list[float]:
    """When the frames of some pieces are released, each given as when it comes and its times."""
    released = []
    for came, times in pieces:
        clock.now = max(clock.now, came)
        for pts_s in times:
            one.wait(pts_s, came)
            released.append(clock.now)
    return released


def test_a_piece_is_spread_over_its_own_length(clock: Clock) -> None:
    one = BurstPacer(8.0, clock.sleep)
    released = play(clock, one, [(100, [50.0, 50.5, 51.0]), (101.2, [51.5, 52.0])])
    assert released == pytest.approx([100, 100.5, 101, 101.5, 102])


def test_a_piece_that_is_late_moves_what_follows(clock: Clock) -> None:
    one = BurstPacer(8.0, clock.sleep)
    released = play(clock, one, [(100, [0.0, 0.5]), (103, [1.0, 1.5]), (103.1, [2.0])])
    assert released == pytest.approx([100, 100.5, 103, 103.5, 104])


def test_nothing_is_held_for_longer_than_allowed(clock: Clock) -> None:
    one = BurstPacer(2.0, clock.sleep)
    released = play(clock, one, [(100, [0.0, 1.0, 2.0, 3.0, 4.0])])
    assert released == pytest.approx([100, 101, 102, 102, 102])
