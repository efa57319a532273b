"""What a tracker remembers over a restart: all that matters, written once, and checked."""

from __future__ import annotations

import msgpack
import pytest
import redis

from platestream.errors import MessageError
from platestream.vision.tracking import Tracker
from services.track.memory import Memory, Position, restore
from tests.platestream.vision.test_tracking import FRAME_MS, plate

MOST = 2**20


def followed(frames: range, tracker: Tracker | None = None) -> Tracker:
    tracker = tracker or Tracker()
    for n in frames:
        seen = [plate(100 + 9 * n, 300, "A301PO174", noise=2.0, seed=n), plate(900 - 9 * n, 600)]
        tracker.update(n, FRAME_MS * n, seen, pts_s=FRAME_MS * n / 1000)
    return tracker


def test_a_new_tracker_goes_on_as_the_old_one_would_have() -> None:
    old = followed(range(1, 20))
    fields, _ = Memory(MOST).changes(old, Position(7, 3))
    new = Tracker()
    assert restore(fields, new) == Position(7, 3)
    for tracker in (old, new):
        followed(range(20, 25), tracker)
    for a, b in zip(old.end(), new.end(), strict=True):
        assert (a.track_id, a.first_frame_id, a.last_frame_id) == (
            b.track_id,
            b.first_frame_id,
            b.last_frame_id,
        )
        assert a.last_pts_s == b.last_pts_s == pytest.approx(24 * FRAME_MS / 1000)
        assert (a.frames_seen, a.crop, a.crop_frame_id) == (b.frames_seen, b.crop, b.crop_frame_id)
        assert a.text.text == b.text.text
        assert a.text.confidence == pytest.approx(b.text.confidence, abs=0.05)
        assert a.velocity == pytest.approx(b.velocity)
        assert len(a.fusion.readings) == len(b.fusion.readings)
    assert old.next_track_id == new.next_track_id


def test_what_a_tracker_before_this_one_wrote_without_stream_times_is_read() -> None:
    fields, _ = Memory(MOST).changes(followed(range(1, 5)), Position())
    record = msgpack.unpackb(fields["track:1"])
    assert record.pop("last_pts_s") == pytest.approx(0.16)
    new = Tracker()
    restore({**fields, "track:1": msgpack.packb(record)}, new)
    assert [track.last_pts_s for track in new.tracks] == [None, pytest.approx(0.16)]


def test_readings_and_pictures_are_written_once_and_deleted_with_their_track() -> None:
    tracker, memory = followed(range(1, 5)), Memory(MOST)
    fields, deleted = memory.changes(tracker, Position())
    memory.wrote(fields, deleted)
    assert {"reading:1:1", "reading:1:4", "track:1", "track:2"} <= set(fields)
    followed(range(5, 6), tracker)
    again, deleted = memory.changes(tracker, Position())
    memory.wrote(again, deleted)
    assert {name for name in again if name.startswith("reading")} == {"reading:1:5"}
    tracker.end()
    last, deleted = memory.changes(tracker, Position())
    assert set(last) == {"tracker"}
    assert set(deleted) == (set(fields) | set(again)) - {"tracker"} - {
        name for name in fields if name.startswith("crop") and name not in deleted
    }


def test_nothing_remembered_is_a_beginning() -> None:
    tracker = Tracker()
    assert restore({}, tracker) == Position()
    assert tracker.tracks == []


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("tracker", b"\xc1"),
        ("tracker", b"\x90"),
        ("tracker", b"x" * 2**19),
        ("track:1", b"\x80"),
        ("reading:1:1", b"\x80"),
        ("reading:1:x", b"\x80"),
    ],
)
def test_damage_is_said(name: str, data: bytes) -> None:
    fields, _ = Memory(MOST).changes(followed(range(1, 5)), Position())
    with pytest.raises(MessageError):
        restore({**fields, name: data}, Tracker())


def crowd(plates: int, frames: int) -> Tracker:
    """A tracker that has followed so many plates, of texts of their own, over so many frames."""
    tracker = Tracker()
    for n in range(1, frames + 1):
        seen = [
            plate(100 * (i % 16), 100 * (i // 16), f"A{37 * i % 1000:03d}PO{100 + 53 * i % 800}",
                  width=40, seed=n)
            for i in range(plates)
        ]  # fmt: skip
        tracker.update(n, FRAME_MS * n, seen, pts_s=FRAME_MS * n / 1000)
    return tracker


def test_of_more_plates_than_there_is_room_for_less_is_remembered(real: redis.Redis) -> None:
    """Where each is, of all; the readings of those that were seen last, as they fit."""
    most, key = 300_000, "tracker"
    tracker, memory = crowd(60, 8), Memory(most)
    for n in range(9, 13):
        fields, deleted = memory.changes(tracker, Position())
        memory.wrote(fields, deleted)
        real.hset(key, mapping=fields)
        if deleted:
            real.hdel(key, *deleted)
        assert 0.4 * most < (real.memory_usage(key, samples=0) or 0) <= most
        seen = [plate(0, 0, "A000PO100", width=40)]
        tracker.update(n, FRAME_MS * n, seen, pts_s=FRAME_MS * n / 1000)
    written = {k.decode(): v for k, v in real.hgetall(key).items()}
    assert set(Memory(most, written)._written) == set(memory._written)
    new = Tracker()
    restore(written, new)
    assert len(new.tracks) == 60
    (seen,) = (track for track in new.tracks if track.last_frame_id == 11)
    assert len(seen.fusion.readings) == 11
    assert sum(len(track.fusion.readings) for track in new.tracks) < 700
