"""Who is through with a camera's recording, and what goes when the camera is retired."""

from __future__ import annotations

import pytest
import redis

from platestream import streams
from platestream.streams import GroupConsumer

CAMERA = "gate-1"
ALL = (streams.OCR, streams.VISUALIZE, streams.TRACK, streams.WRITER)


def captured(client: redis.Redis, *, ended: bool) -> None:
    """Three frames of a camera, and their end."""
    key = streams.frames_key(CAMERA)
    for group in (streams.OCR, streams.VISUALIZE):
        streams.ensure_group(client, key, group)
    streams.register_camera(client, CAMERA, started_at_ms="1", first_frame_id="1", ended="0")
    for frame_id in (1, 2, 3):
        streams.publish_captured(client, CAMERA, frame_id, {"frame_id": str(frame_id)})
    if ended:
        streams.publish(client, key, streams.end_id(3), {"end": "1"})
        streams.register_camera(client, CAMERA, ended="1", frames="3")


def take(client: redis.Redis, group: str, count: int) -> None:
    consumer = GroupConsumer(client, streams.frames_key(CAMERA), group, "test")
    for delivery in consumer.read(count, None):
        consumer.ack(delivery.id)


def through(client: redis.Redis) -> set[str]:
    return {service for service in ALL if streams.is_through(client, CAMERA, service)}


def test_of_a_camera_that_never_was_nothing_is_left_to_do(client: redis.Redis) -> None:
    assert through(client) == set(ALL)


def test_a_camera_that_is_captured_has_no_end(client: redis.Redis) -> None:
    captured(client, ended=False)
    take(client, streams.OCR, 10)
    take(client, streams.VISUALIZE, 10)
    assert through(client) == set()


def test_each_service_is_through_when_the_end_has_passed_it(client: redis.Redis) -> None:
    captured(client, ended=True)
    assert through(client) == set()
    take(client, streams.VISUALIZE, 3)
    assert through(client) == set()  # the end itself is still to be passed on
    take(client, streams.VISUALIZE, 1)
    assert through(client) == {"visualize"}
    take(client, streams.OCR, 4)
    assert through(client) == {"visualize", "ocr"}
    client.xadd(streams.tracks_key(CAMERA), {"end": "1"}, id=streams.end_id(3))
    assert through(client) == {"visualize", "ocr", "track"}
    recording = streams.recording_key(CAMERA)
    client.hset(recording, mapping={"state": "finished", "end_id": "2-1"})  # an older one
    assert "writer" not in through(client)
    client.hset(recording, mapping={"state": "finished", "end_id": streams.end_id(3)})
    assert through(client) == set(ALL)


def test_a_retired_camera_keeps_its_readings_and_its_numbers(client: redis.Redis) -> None:
    captured(client, ended=True)
    rendered, readings = streams.rendered_key(CAMERA), streams.readings_key(CAMERA)
    client.xadd(rendered, {"frame_id": "3"}, id="3-0")
    client.xadd(readings, {"frame_id": "3"})
    token = streams.ring_token(client, CAMERA)
    assert not streams.retire_camera(client, CAMERA)  # nobody has taken its frames
    assert client.smembers(streams.CAMERAS_KEY) == set()
    assert client.xlen(streams.frames_key(CAMERA)) == 4
    take(client, streams.OCR, 4)
    take(client, streams.VISUALIZE, 4)
    assert not streams.retire_camera(client, CAMERA)
    assert client.xlen(streams.frames_key(CAMERA)) == 0
    assert client.xlen(rendered) == 1  # the writer's still
    assert streams.known_ring_token(client, CAMERA) == token  # and its picture
    client.hset(
        streams.recording_key(CAMERA), mapping={"state": "finished", "end_id": streams.end_id(3)}
    )
    assert streams.retire_camera(client, CAMERA)
    assert (client.xlen(rendered), client.xlen(readings)) == (0, 1)
    assert streams.known_ring_token(client, CAMERA) is None
    assert streams.last_frame_id(client, CAMERA) == 3
    assert set(streams.group_facts(client, streams.frames_key(CAMERA))) == {"ocr", "visualize"}


def test_an_unknown_service_is_an_error(client: redis.Redis) -> None:
    captured(client, ended=True)
    with pytest.raises(ValueError, match="no such service"):
        streams.is_through(client, CAMERA, "nobody")
