"""Recordings: begun, gone on with, ended; what Redis holds of them."""

from __future__ import annotations

from fractions import Fraction

import pytest
import redis

from platestream import messages, streams
from platestream.clock import now_ms
from platestream.messages import End
from platestream.runtime import Session
from platestream.settings import CaptureSettings, Settings
from services.capture import recording as recordings
from services.capture.recording import Recording

CAMERA = "gate-1"


def session(client: redis.Redis, source: str = "a.mp4", run_id: str = "") -> Session:
    capture = CaptureSettings(source=source, run_id=run_id)
    return Session("capture", Settings(camera=CAMERA, capture=capture), client)


def begun(one: Session, mode: messages.Mode = "file") -> Recording:
    return recordings.begin(one, mode, 320, 180, Fraction(30_000, 1001), 90)


def take_frames(one: Session, recording: Recording, last: int) -> None:
    """Notes frames as captured, the last one just now."""
    streams.publish_captured(
        one.client, CAMERA, last, {"frame_id": str(last)}, captured_at_ms=now_ms()
    )
    recording.next_frame_id = last + 1


def ends(client: redis.Redis) -> list[End]:
    return [
        message
        for _, fields in client.xrange(streams.frames_key(CAMERA))
        if b"end" in fields and isinstance(message := messages.parse_frame(fields), End)
    ]


@pytest.mark.parametrize("mode", ["file", "live"])
@pytest.mark.parametrize("run_id", ["", "run-1"])
def test_an_unfinished_one_is_gone_on_with(
    client: redis.Redis, mode: messages.Mode, run_id: str
) -> None:
    one = session(client, run_id=run_id)
    first = begun(one, mode)
    take_frames(one, first, 7)
    second = recordings.resume(one, mode)
    assert second == first
    assert second is not None
    assert second.frames == 7
    assert not recordings.finished(one)


def test_another_source_another_run_or_mode_begins_anew_and_ends_the_old_one(
    client: redis.Redis,
) -> None:
    one = session(client, run_id="run-1")
    take_frames(one, begun(one), 7)
    assert recordings.resume(session(client, "b.mp4", "run-1"), "file") is None
    assert recordings.resume(session(client, "a.mp4", "run-2"), "file") is None
    assert recordings.resume(one, "live") is None
    other = session(client, "b.mp4")
    recording = begun(other)
    assert (recording.first_frame_id, recording.frames) == (8, 0)
    (end,) = ends(client)
    assert (end.frame_id, end.frames) == (7, 7)


def test_one_that_has_ended_is_not_gone_on_with(client: redis.Redis) -> None:
    one = session(client, run_id="run-1")
    recording = begun(one)
    take_frames(one, recording, 7)
    recordings.end(one, recording, "end of file")
    assert recordings.resume(one, "file") is None
    assert recordings.finished(one)
    assert not recordings.finished(session(client))
    known = streams.read_hash(client, streams.camera_key(CAMERA))
    assert (known["ended"], known["frames"], known["state"]) == ("1", "7", "ended")
    assert begun(one).first_frame_id == 8
    assert [end.frame_id for end in ends(client)] == [7]  # once


def test_a_live_one_is_not_gone_on_with_after_a_long_pause(client: redis.Redis) -> None:
    one = session(client, "rtsp://h/s")
    begun(one, "live")
    streams.publish_captured(
        client, CAMERA, 7, {"frame_id": "7"}, captured_at_ms=now_ms() - 120_000
    )
    assert recordings.resume(one, "live") is None
    begun(one, "live")
    assert [(end.frame_id, end.frames) for end in ends(client)] == [(7, 7)]


@pytest.mark.parametrize("damage", [{"rate": "0/0"}, {"width": "wide"}, {"started_at_ms": ""}])
def test_facts_that_make_no_sense_are_not_gone_on_with(
    client: redis.Redis, damage: dict[str, str]
) -> None:
    one = session(client)
    take_frames(one, begun(one), 7)
    streams.register_camera(client, CAMERA, **damage)
    assert recordings.resume(one, "file") is None


def test_whether_redis_knew_of_frames_before(client: redis.Redis) -> None:
    def captured(frame_id: int) -> bool:
        fields = {"frame_id": str(frame_id)}
        return streams.publish_captured(client, CAMERA, frame_id, fields).known

    assert not captured(1)
    assert captured(2)
    client.flushall()
    assert not captured(3)
