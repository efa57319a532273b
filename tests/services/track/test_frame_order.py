"""Readings put into frame order: none waits for ever, none is let through twice."""

from __future__ import annotations

from platestream.messages import Reading
from services.track.frame_order import FrameOrder, Ordered


def reading(frame_id: int) -> Reading:
    return Reading(frame_id=frame_id, captured_at_ms=40 * frame_id)


def order(*frame_ids: int, limit: int = 100, last: int = 0) -> FrameOrder:
    made = FrameOrder(limit, last)
    for frame_id in frame_ids:
        assert made.add(reading(frame_id), f"9-{frame_id}", now_s=0)
    return made


def ids(taken: list[Ordered]) -> list[int]:
    return [one.reading.frame_id for one in taken]


def test_readings_come_out_in_frame_order() -> None:
    made = order(3, 1, 2)
    taken = made.take(4, 0)
    assert ids(taken) == [1, 2, 3]
    assert [one.stream_id for one in taken] == ["9-1", "9-2", "9-3"]
    assert len(made) == 0


def test_one_of_an_earlier_frame_is_waited_for() -> None:
    made = order(1, 3, 4)
    assert ids(made.take(2, 0)) == [1]
    made.add(reading(2), "9-9", 0)
    assert ids(made.take(5, 0)) == [2, 3, 4]


def test_a_skipped_frame_is_not_waited_for() -> None:
    assert ids(order(1, 5, 9).take(9, 0)) == [1, 5]


def test_duplicates_and_late_ones_are_of_no_use() -> None:
    made = order(2, last=1)
    assert not made.add(reading(2), "10-0", 0)
    assert not made.add(reading(1), "10-1", 0)
    assert ids(made.take(3, 0)) == [2]
    assert not made.add(reading(2), "10-2", 0)
    assert made.last_frame_id == 2


def test_the_size_is_bounded_whatever_is_missing() -> None:
    made = order(*range(10, 30), limit=5)
    assert ids(made.take(0, 0)) == list(range(10, 25))
    assert len(made) == 5


def test_live_none_waits_too_long() -> None:
    made = order(5, 7)
    made.add(reading(9), "9-9", now_s=1.5)
    assert ids(made.take(0, 1.9, patience_s=2)) == []
    assert ids(made.take(0, 2.0, patience_s=2)) == [5, 7]
    assert ids(made.take(0, 99, patience_s=None)) == []
    assert ids(made.take(0, 3.5, patience_s=2)) == [9]
