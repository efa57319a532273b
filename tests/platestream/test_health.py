"""Health tells the truth: a loop that hangs, one that waits, a camera that is silent."""

from __future__ import annotations

import pytest

from platestream import health
from platestream.health import Health


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock, to be set by hand."""
    now = [1000.0]
    monkeypatch.setattr(health.time, "monotonic", lambda: now[0])
    return now


def test_until_its_first_sign_of_life_it_is_starting(clock: list[float]) -> None:
    one = Health(hang_s=5)
    clock[0] += 100
    assert one.is_alive().ok
    assert not one.is_ready().ok
    assert one.is_ready().reasons == ("starting, for 100 s now",)
    one.alive()
    assert (one.is_alive(), one.is_ready()) == (health.Verdict(True), health.Verdict(True))


def test_a_start_that_takes_for_ever_has_hung(clock: list[float]) -> None:
    one = Health(hang_s=5)
    clock[0] += health.START_S + 1
    assert not one.is_alive().ok


def test_a_loop_without_progress_has_hung(clock: list[float]) -> None:
    one = Health(hang_s=5)
    one.alive()
    clock[0] += 6
    assert one.is_alive() == health.Verdict(False, ("no progress for 6 s",))
    assert not one.is_ready().ok
    one.alive()
    assert one.is_alive().ok


def test_waiting_for_redis_is_no_hang_but_a_hang_after_it_is(clock: list[float]) -> None:
    one = Health(hang_s=5)
    one.alive()
    for _ in range(10):
        clock[0] += 2
        one.redis_answers(False)
    assert one.is_alive() == health.Verdict(True, ("Redis does not answer; waiting for it",))
    one.redis_answers(True)
    assert one.is_alive().ok
    clock[0] += 6
    assert one.is_alive() == health.Verdict(False, ("no progress for 26 s",))


def test_what_stands_in_the_way_makes_it_not_ready_until_it_is_gone(clock: list[float]) -> None:
    one = Health(hang_s=5)
    one.alive()
    one.not_ready("no room on disk", "disk")
    one.not_ready("the camera is lost", "camera")
    assert one.is_alive().ok
    assert one.is_ready().reasons == ("no room on disk", "the camera is lost")
    one.ready("disk")
    assert one.is_ready() == health.Verdict(False, ("the camera is lost",))
    one.ready("camera")
    one.ready("camera")
    assert one.is_ready().ok


def test_a_frame_that_is_overdue_makes_it_not_ready(clock: list[float]) -> None:
    one = Health(hang_s=90)
    one.alive()
    one.delivered(10)
    clock[0] += 9
    assert one.is_ready().ok
    clock[0] += 3
    assert one.is_ready() == health.Verdict(False, ("no frame for 12 s",))
    assert one.is_alive().ok
    one.delivered(None)
    clock[0] += 50
    assert one.is_ready().ok
