"""Which reading visualize draws on a frame."""

from __future__ import annotations

from platestream.messages import Reading
from services.visualize.readings import LatestReading


def reading(frame_id: int) -> Reading:
    return Reading(frame_id=frame_id, captured_at_ms=1000 + 40 * frame_id)


def test_the_newest_reading_that_is_not_ahead_is_drawn() -> None:
    latest = LatestReading(stale_after_ms=1000)
    for frame_id in (5, 2, 9):  # replicas finish out of order
        latest.add(reading(frame_id))
    found = latest.for_frame(8, 1000 + 40 * 8)
    assert found is not None
    assert (found[0].frame_id, found[1]) == (5, 120)


def test_a_frames_own_reading_has_no_age() -> None:
    latest = LatestReading(1000)
    latest.add(reading(3))
    found = latest.for_frame(3, 1120)
    assert found is not None
    assert found[1] == 0


def test_stale_readings_are_not_drawn() -> None:
    latest = LatestReading(stale_after_ms=100)
    latest.add(reading(1))
    assert latest.for_frame(3, 1040 + 100) is not None
    assert latest.for_frame(4, 1040 + 101) is None


def test_before_the_first_reading_there_is_none() -> None:
    latest = LatestReading(1000)
    assert latest.for_frame(1, 1000) is None
    latest.add(reading(5))
    assert latest.for_frame(4, 1160) is None


def test_memory_is_bounded_and_the_newest_stay() -> None:
    latest = LatestReading(10**9)
    for frame_id in range(1, 2000):
        latest.add(reading(frame_id))
    found = latest.for_frame(5000, 10**6)
    assert found is not None
    assert found[0].frame_id == 1999
    assert latest.for_frame(100, 10**6) is None
