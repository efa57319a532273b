"""visualize between its streams: what it takes in, what it refuses, and what it counts."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import redis

from platestream import messages, pixels, streams
from platestream.messages import End, Frame, Reading, RenderedFrame, Tracks
from platestream.runtime import Session
from platestream.settings import Settings
from services.visualize import service
from tests.conftest import wait_until

CAMERA = "gate-1"
DAMAGED = {"frame_id": "3", "captured_at_ms": "1000", "body": b"\xc1 no msgpack"}


def _frame(frame_id: int) -> Frame:
    image = np.full((90, 160, 3), 90, np.uint8)
    return Frame(
        frame_id=frame_id,
        captured_at_ms=1000 + 40 * frame_id,
        pts_s=0.04 * (frame_id - 1),
        width=160,
        height=90,
        pixels=pixels.pack(image, "jpeg", 90),
    )


def _rendered(client: redis.Redis) -> list[RenderedFrame | End]:
    entries = client.xrange(streams.rendered_key(CAMERA))
    return [messages.parse_rendered(fields) for _, fields in entries]


@pytest.mark.parametrize("damaged", [False, True])
def test_only_what_is_refused_is_counted_so(client: redis.Redis, damaged: bool) -> None:
    streams.ensure_group(client, streams.frames_key(CAMERA), streams.VISUALIZE)
    reading = Reading(frame_id=1, captured_at_ms=1040)
    streams.publish_readings(client, CAMERA, [messages.reading_fields(reading)], [])
    tracks = Tracks(frame_id=1, captured_at_ms=1040)
    key = streams.tracks_key(CAMERA)
    streams.publish(client, key, streams.entry_id(1), messages.tracks_fields(tracks))
    if damaged:
        client.xadd(streams.readings_key(CAMERA), DAMAGED)
        client.xadd(key, DAMAGED, id=streams.entry_id(3))
    streams.publish(client, key, streams.end_id(4), messages.end_fields(End(frame_id=4, frames=4)))
    for frame_id in (1, 2, 3, 4):
        fields = messages.frame_fields(_frame(frame_id))
        streams.publish(client, streams.frames_key(CAMERA), streams.entry_id(frame_id), fields)
    session = Session("visualize", Settings(camera=CAMERA), client)
    thread = threading.Thread(target=service.run, args=(session,))
    thread.start()
    try:
        wait_until(lambda: len(_rendered(client)) == 4, what="four rendered frames")
    finally:
        session.stopping.set()
        thread.join(10)
    assert [one.frame_id for one in _rendered(client)] == [1, 2, 3, 4]
    counts = streams.read_hash(client, streams.counts_key(CAMERA))
    assert int(counts.get("refused_by_visualize", 0)) == (2 if damaged else 0)
    assert _rendered(client)[0].reading_frame_id == 1  # type: ignore[union-attr]
