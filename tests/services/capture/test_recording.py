"""Recordings: begun, gone on with, ended; what Redis holds of them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import redis

from platestream import messages, streams
from platestream.clock import now_ms
from platestream.errors import TakenOverError
from platestream.messages import End
from platestream.runtime import Session
from platestream.settings import CaptureSettings, Settings
from platestream.video import SourceFrame
from services.capture import recording as recordings
from services.capture.recording import Recording
from services.capture.service import _Publisher

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
    assert not recordings.finished(one, mode)


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
    assert recordings.finished(one, "file") == recording
    assert not recordings.finished(session(client), "file")
    known = streams.read_hash(client, streams.camera_key(CAMERA))
    assert (known["ended"], known["frames"], known["state"]) == ("1", "7", "ended")
    assert begun(one).first_frame_id == 8
    assert [end.frame_id for end in ends(client)] == [7]  # once


@pytest.mark.parametrize("age_ms", [120_000, -120_000])  # or the clock was set back since
def test_a_live_one_is_not_gone_on_with_after_a_long_pause(
    client: redis.Redis, age_ms: int
) -> None:
    one = session(client, "rtsp://h/s")
    begun(one, "live")
    streams.publish_captured(client, CAMERA, 7, {"frame_id": "7"}, captured_at_ms=now_ms() - age_ms)
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


def pictures(one: Session, recording: Recording) -> Callable[[], bool]:
    """Publishes a picture after the other."""
    publisher = _Publisher(one, recording)
    picture = np.zeros((180, 320, 3), np.uint8)
    return lambda: publisher.publish(SourceFrame(picture, 0.0), now_ms())


def published(client: redis.Redis) -> list[int]:
    return [streams.frame_id_of(i) for i, _ in client.xrange(streams.frames_key(CAMERA))]


def test_a_capture_that_wakes_beside_its_replacement_ends_and_harms_nothing(
    client: redis.Redis,
) -> None:
    old, new = session(client, "rtsp://h/s"), session(client, "rtsp://h/s")
    stopped = begun(old, "live")
    sleeper = pictures(old, stopped)
    assert sleeper()
    assert sleeper()
    replacement = recordings.resume(new, "live")
    assert replacement is not None
    recordings.note_state(new, "live", replacement)
    heir = pictures(new, replacement)
    for _ in range(5):
        assert heir()
    recordings.note_state(old, "lost", stopped)  # its connection has gone meanwhile
    with pytest.raises(TakenOverError, match=r"another capture \(.*:\d+\) has .* 'gate-1'"):
        sleeper()
    with pytest.raises(TakenOverError, match="has taken camera"):
        recordings.go_on(old, stopped)
    recordings.end(old, stopped, "stopped")
    assert heir()
    assert published(client) == list(range(1, 9))
    assert ends(client) == []
    known = streams.read_hash(client, streams.camera_key(CAMERA))
    assert (known["last_frame_id"], known["state"], known["ended"]) == ("8", "live", "0")
    assert streams.read_counts(client, CAMERA) == {"frames_in": 8, "skipped_by_capture": 1}


def test_of_two_captures_the_one_that_came_last_goes_on_and_counts(client: redis.Redis) -> None:
    first, second = session(client, "rtsp://h/s"), session(client, "rtsp://h/s")
    one = pictures(first, begun(first, "live"))
    other = pictures(second, begun(second, "live"))
    with pytest.raises(TakenOverError, match="another capture"):
        one()  # lost, as the camera is the other's
    assert other()
    assert other()
    assert published(client) == [1, 2]
    assert streams.read_counts(client, CAMERA) == {"frames_in": 2, "skipped_by_capture": 1}


def test_of_a_file_nothing_is_lost_to_one_that_has_been_replaced(client: redis.Redis) -> None:
    first, second = session(client, "a.mp4"), session(client, "b.mp4")
    replaced = begun(first, "file")
    one = pictures(first, replaced)
    assert one()
    other = pictures(second, begun(second, "file"))
    for again in (one, lambda: recordings.take_up(first, replaced)):
        with pytest.raises(TakenOverError, match="another capture"):
            again()
    assert other()
    with pytest.raises(TakenOverError, match="another capture"):
        recordings.end(first, replaced, "end of file")
    assert published(client) == [1, 1, 2]  # with the end of the first
    known = streams.read_hash(client, streams.camera_key(CAMERA))
    assert (known["first_frame_id"], known["ended"]) == ("2", "0")
    assert streams.read_counts(client, CAMERA) == {"frames_in": 2}


def test_the_last_frame_never_goes_back(client: redis.Redis) -> None:
    for frame_id in (7, 9, 8, 7):
        streams.publish_captured(client, CAMERA, frame_id, {"frame_id": str(frame_id)},
                                 captured_at_ms=frame_id)  # fmt: skip
    known = streams.read_hash(client, streams.camera_key(CAMERA))
    assert (known["last_frame_id"], known["last_frame_ms"]) == ("9", "9")
    assert streams.read_counts(client, CAMERA) == {"frames_in": 2}
