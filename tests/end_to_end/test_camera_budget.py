"""All that a camera keeps in Redis, together, while nobody reads any of it."""

from __future__ import annotations

import os

import numpy as np
import pytest
import redis

from platestream import messages, streams
from platestream.messages import Frame, Passage, Plate, Reading, RenderedFrame, Tracks, TrackState
from platestream.producer import Producer
from platestream.runtime import Session
from platestream.settings import load
from platestream.streams import Delivery, GroupConsumer, TrackerStep
from platestream.vision.tracking import Tracker
from services.capture import recording as recordings
from services.track.memory import Memory, Position
from tests.services.track.test_memory import crowd

CAMERA = "gate-1"
CAMERA_MIB = 28
MIB = 2**20
WIDTH, HEIGHT = 320, 180
CORNERS = ((0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0))
FRAMES = 300  # of some 50 kB: 15 MB, of which 8 MiB may stay


def held(client: redis.Redis) -> dict[str, int]:
    """Bytes by key, as Redis says, of all that are the camera's."""
    found = client.scan_iter(match=f"*{{{CAMERA}}}*", count=1000)
    return {key.decode(): client.memory_usage(key, samples=0) or 0 for key in found}


@pytest.fixture
def session(real: redis.Redis) -> Session:
    """A service's, of a camera that nobody but its producers serves."""
    given = {"camera": CAMERA, "streams.camera_mib": CAMERA_MIB, "streams.pixels": "jpeg",
             "capture.source": "rtsp://192.0.2.1/"}  # fmt: skip
    session = Session("capture", load(given), real)
    for key, group in ((streams.frames_key, streams.OCR), (streams.frames_key, streams.VISUALIZE),
                       (streams.rendered_key, streams.WRITER),
                       (streams.readings_key, streams.TRACK)):  # fmt: skip
        streams.ensure_group(real, key(CAMERA), group)
    return session


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


PICTURES = [noise(seed) for seed in range(5)]


def publish_frame(session: Session, producer: Producer, frame_id: int, mode: str = "live") -> bool:
    waits = mode == "file"
    packed = producer.pack(frame_id, PICTURES[frame_id % 5], waits=waits)
    if packed is None:
        return False
    frame = Frame(frame_id=frame_id, captured_at_ms=1, pts_s=0, width=WIDTH, height=HEIGHT,
                  mode=mode, pixels=packed)  # type: ignore[arg-type] # fmt: skip
    fields = messages.frame_fields(frame)
    return producer.publish(
        frame_id,
        packed,
        lambda oldest: streams.publish_captured(
            session.client, CAMERA, frame_id, fields, oldest_kept=oldest
        ),
        size=streams.size_of(fields),
        waits=waits,
        drops=not waits,
    )


def publish_rendered(session: Session, producer: Producer, frame_id: int) -> None:
    """With so many plates that they are half of what the entry takes."""
    packed = producer.pack(frame_id, PICTURES[frame_id % 5], waits=False)
    assert packed is not None
    plates = tuple(
        Plate(corners=CORNERS, score=0.9, text="A123BC77", confidence=0.9, raw="A123BC77")
        for _ in range(200)
    )
    rendered = RenderedFrame(frame_id=frame_id, captured_at_ms=1, pts_s=0, width=WIDTH,
                             height=HEIGHT, mode="live", pixels=packed, plates=plates,
                             rendered_at_ms=1, previous_frame_id=frame_id - 1)  # fmt: skip
    fields = messages.frame_fields(rendered)
    producer.publish(
        frame_id,
        packed,
        lambda oldest: streams.publish_rendered(
            session.client, CAMERA, f"{frame_id}-0", fields, oldest or "0-0"
        ),
        size=streams.size_of(fields),
        waits=False,
        drops=True,
    )


def reading(frame_id: int) -> dict[str, str | bytes]:
    plates = tuple(
        Plate(corners=CORNERS, score=0.9, text="A123BC77", confidence=0.9, raw="A123BC77",
              crop=os.urandom(4_000), probabilities=os.urandom(1_000))
        for _ in range(3)
    )  # fmt: skip
    return messages.reading_fields(Reading(frame_id=frame_id, captured_at_ms=1, plates=plates))


def step(number: int, tracker: Tracker, memory: Memory) -> TrackerStep:
    states = tuple(
        TrackState(track_id=n + 1, corners=CORNERS, velocity=(1.0, 1.0), text="A123BC77",
                   confidence=0.9, format="ru-1", accepted=True, first_frame_id=1,
                   last_frame_id=2, frames_seen=2)
        for n in range(30)
    )  # fmt: skip
    passing = Passage(passage_id=number, track_id=1, text="A123BC77", confidence=0.9,
                      accepted=True, first_frame_id=1, last_frame_id=2, first_captured_at_ms=1,
                      last_captured_at_ms=2, frames_seen=2, readings=2, crop=os.urandom(8_000),
                      crop_frame_id=1)  # fmt: skip
    state = messages.tracks_fields(Tracks(frame_id=number, captured_at_ms=1, tracks=states))
    remembered: dict[str, bytes] = {}
    forgotten: list[str] = []
    if number % 20 == 1:  # nothing moves: there is no more to remember in between
        remembered, forgotten = memory.changes(tracker, Position())
        memory.wrote(remembered, forgotten)
    passage = messages.passage_fields(passing)
    return TrackerStep([(f"{number}-0", state)], [(f"{number}-0", passage)],
                       remembered, forgotten, (), {"passages": 1})  # fmt: skip


def bury(session: Session, number: int) -> None:
    """A frame that OCR held, and could not read; every now and then all of them are moved."""
    client, key = session.client, streams.frames_key(CAMERA)
    if not (taken := client.xreadgroup(streams.OCR, "a", {key: ">"}, count=1)):
        return
    ((_, ((entry, _),)),) = taken
    body = {b"body": os.urandom(200_000)}
    # what the replica itself would allow is more than this camera has
    streams.publish_dead(client, CAMERA, Delivery(entry.decode(), body), "unreadable",
                         most_bytes=128 * MIB)  # fmt: skip
    if number % 100 == 0:
        ids = [d.id for d in streams.list_dead(client, CAMERA)]
        streams.retry_dead(client, CAMERA, ids)


def test_live_all_keys_of_a_camera_stay_under_its_budget(
    real: redis.Redis, session: Session
) -> None:
    """Frames, readings, tracks, passages, rendered and dead frames: more than it holds of each."""
    begun = recordings.Recording("live", 1, 1, 1, WIDTH, HEIGHT, recordings.Fraction(30), 0)
    recordings.register(session, begun)
    shares = session.settings.streams.shares
    capture, visualize = Producer(session, "frames", []), Producer(session, "rendered", [])
    replicas = [streams.readings_trimmer(real, CAMERA, 64 * MIB) for _ in range(4)]
    keeper = streams.TracksTrimmer(
        real, CAMERA, tracks_bytes=shares.tracks, passages_bytes=shares.passages
    )
    tracker, memory = crowd(60, 10), Memory(shares.tracker)
    owner = streams.Owner(real, CAMERA, streams.TRACK)
    owner.take()
    tally = streams.Tally(real, CAMERA)
    most: dict[str, int] = {}
    for frame_id in range(1, FRAMES + 1):
        assert publish_frame(session, capture, frame_id)
        publish_rendered(session, visualize, frame_id)
        bury(session, frame_id)
        said = reading(frame_id)
        streams.publish_readings(real, CAMERA, [said], [])
        replicas[frame_id % 4].added(1, streams.size_of(said))
        one = step(frame_id, tracker, memory)
        streams.publish_tracks(owner, CAMERA, one)
        keeper.published(one)
        tally.add(skipped_by_ocr=1)
        tally.send()
        if frame_id % 20 == 0:
            now = held(real)
            assert sum(now.values()) <= CAMERA_MIB * MIB, now
            most = {key: max(most.get(key, 0), size) for key, size in now.items()}
    # each was full: the sum is not small because something was not there
    for stream in ("frames", "rendered", "readings", "tracks", "passages", "tracker"):
        assert most[f"{stream}:{{{CAMERA}}}"] > 0.6 * getattr(shares, stream), (stream, most)
    assert most[streams.retry_key(CAMERA)] > 0.6 * shares.dead
    counts = streams.read_counts(real, CAMERA)
    assert counts["trimmed_before_writer"] > 100
    assert counts["trimmed_before_track"] > 100


def test_of_a_file_the_producer_waits_and_nothing_goes(real: redis.Redis, session: Session) -> None:
    """A window of more frames than the bytes that a camera has are enough for."""
    wide = load({"camera": CAMERA, "streams.camera_mib": 14, "streams.pixels": "jpeg",
                 "streams.window_frames": 10_000})  # fmt: skip
    capture = Session("capture", wide, real)
    streams.register_camera(real, CAMERA, mode="file")
    producer = Producer(capture, "frames", [streams.OCR])
    stopped_at = 0
    capture.stopping.set()  # where it would wait, it says so
    for frame_id in range(1, 1_000):
        if not publish_frame(capture, producer, frame_id, "file"):
            stopped_at = frame_id
            break
    assert 0.6 * 4 * MIB < held(real)[streams.frames_key(CAMERA)] <= 4 * MIB
    assert real.xlen(streams.frames_key(CAMERA)) == stopped_at - 1
    reader = GroupConsumer(real, streams.frames_key(CAMERA), streams.OCR, "a")
    reader.ack(*[d.id for d in reader.read(5, None)])
    assert publish_frame(capture, producer, stopped_at, "file")
    producer.close()

    # OCR's readings wait for `track` in the same way
    trimmer = streams.readings_trimmer(real, CAMERA, wide.streams.shares.readings)
    GroupConsumer(real, streams.readings_key(CAMERA), streams.TRACK, streams.TRACK).join()
    published = 0
    while not trimmer.full:
        published += 1
        assert published < 1_000
        said = reading(published)
        streams.publish_readings(real, CAMERA, [said], [])
        trimmer.added(1, streams.size_of(said))
    assert real.xlen(streams.readings_key(CAMERA)) == published
    assert sum(held(real).values()) <= 14 * MIB
