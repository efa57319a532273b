"""Waiting for a frame's own reading, and for what tells that there will be none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
import redis

from platestream import messages, streams
from platestream.messages import Reading, Tracks
from platestream.runtime import Session
from platestream.settings import Settings
from services.visualize import arrivals
from services.visualize.arrivals import Arrivals
from tests.conftest import wait_until

CAMERA = "gate-1"
FRAMES = streams.frames_key(CAMERA)

Waiting = Callable[[int], "list[bool]"]


@pytest.fixture
def session(client: redis.Redis) -> Session:
    streams.ensure_group(client, FRAMES, streams.OCR)
    for frame_id in range(1, 5):
        fields = {"frame_id": str(frame_id)}
        streams.publish(client, FRAMES, streams.entry_id(frame_id), fields)
    return Session("visualize", Settings(camera=CAMERA), client)


@pytest.fixture
def waiting(session: Session) -> Iterator[Waiting]:
    """Waits for a frame in a thread; what that comes to is in the list, once it is there."""
    threads = []

    def start(frame_id: int) -> list[bool]:
        results: list[bool] = []
        come = Arrivals(session)
        thread = threading.Thread(target=lambda: results.append(come.wait_for(frame_id)))
        thread.start()
        threads.append(thread)
        return results

    yield start
    session.stopping.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def ocr_takes(client: redis.Redis, count: int) -> None:
    streams.GroupConsumer(client, FRAMES, streams.OCR, "ocr-1").read(count, None)


def publish_reading(client: redis.Redis, frame_id: int) -> None:
    reading = Reading(frame_id=frame_id, captured_at_ms=1000 + frame_id)
    fields = messages.reading_fields(reading)
    streams.publish_readings(client, CAMERA, [fields], [streams.entry_id(frame_id)])


def publish_tracks(client: redis.Redis, frame_id: int) -> None:
    tracks = Tracks(frame_id=frame_id, captured_at_ms=1000 + frame_id)
    key = streams.tracks_key(CAMERA)
    streams.publish(client, key, streams.entry_id(frame_id), messages.tracks_fields(tracks))


def test_a_frame_waits_for_its_reading_and_then_for_its_tracks(
    client: redis.Redis, session: Session, waiting: Waiting
) -> None:
    ocr_takes(client, 2)
    come = Arrivals(session)
    result = waiting(2)
    publish_reading(client, 1)
    publish_tracks(client, 1)
    wait_until(lambda: _knows(come, 1))
    assert not result
    publish_reading(client, 2)
    wait_until(lambda: _knows(come, 2))
    assert not result  # its text is not fused yet
    publish_tracks(client, 2)
    wait_until(lambda: result == [True])


def _knows(come: Arrivals, frame_id: int) -> bool:
    come.take_in()
    return come.latest.has(frame_id)


def test_a_frame_that_ocr_is_done_with_and_did_not_read_waits_no_longer(
    client: redis.Redis, waiting: Waiting
) -> None:
    result = waiting(2)
    ocr_takes(client, 3)
    publish_reading(client, 3)  # another replica is ahead: that says nothing of frame 2
    publish_reading(client, 1)
    publish_tracks(client, 1)
    delivery = streams.Delivery(streams.entry_id(2), {b"frame_id": b"2"}, 4)
    assert not result
    streams.publish_dead(client, CAMERA, delivery, "handed out 4 times", most_bytes=2**20)
    wait_until(lambda: result == [True])


def test_frames_that_ocr_skips_do_not_wait(client: redis.Redis, waiting: Waiting) -> None:
    result = waiting(3)
    streams.publish_captured(client, CAMERA, 4, {"frame_id": "4"})
    pool = streams.PoolConsumer(client, "ocr-1", "newest")
    pool.serve([CAMERA])
    assert [taken.frame_id for taken in pool.take(1, 1)] == [4]
    wait_until(lambda: result == [True])


def test_a_stop_ends_the_waiting_and_a_long_one_is_said(
    session: Session, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(arrivals, "_PATIENCE_S", 0.05)
    monkeypatch.setattr(session, "log", type("Log", (), {"warning": said.append}))
    result = waiting(1)
    wait_until(lambda: said)
    assert "frame 1" in said[0]
    assert "is ocr running?" in said[0]
    session.stopping.set()
    wait_until(lambda: result == [False])
