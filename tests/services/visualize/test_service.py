"""visualize between its streams: what it takes in, what it refuses, and what it counts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import redis

from platestream import messages, pixels, streams
from platestream.colour import Colour
from platestream.errors import SettingsError
from platestream.messages import (
    End,
    Frame,
    Pixels,
    Plate,
    Reading,
    RenderedFrame,
    Tracks,
)
from platestream.picture import I420, Form, form_of, memory_of
from platestream.runtime import Session
from platestream.settings import Settings, load
from services.visualize import service
from tests.conftest import wait_until
from tests.planes import some_planes

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


@contextmanager
def drawing(session: Session) -> Iterator[None]:
    """The service at work in a thread, stopped at the end."""
    thread = threading.Thread(target=service.Visualize().run, args=(session,))
    thread.start()
    try:
        yield
    finally:
        session.stopping.set()
        thread.join(10)


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
    with drawing(session):
        wait_until(lambda: len(_rendered(client)) == 4, what="four rendered frames")
    assert [one.frame_id for one in _rendered(client)] == [1, 2, 3, 4]
    counts = streams.read_hash(client, streams.counts_key(CAMERA))
    assert int(counts.get("refused_by_visualize", 0)) == (2 if damaged else 0)
    assert _rendered(client)[0].reading_frame_id == 1  # type: ignore[union-attr]


@pytest.mark.parametrize("gone", ["entry", "picture"])
def test_a_frame_that_a_killed_one_had_published_is_not_counted_as_lost(
    real: redis.Redis, tmp_path: Path, gone: str
) -> None:
    """Of three frames that it held it had published two, and acknowledged none."""
    key, rendered = streams.frames_key(CAMERA), streams.rendered_key(CAMERA)
    streams.ensure_group(real, key, streams.VISUALIZE)
    nowhere = Pixels(
        codec="shm", ring=f"{CAMERA}.frames.{'0' * 16}.{'0' * 8}.ring", slot=0, generation=2
    )
    for frame_id in (1, 2, 3):
        frame = _frame(frame_id).model_copy(update={"mode": "live", "pixels": nowhere})
        _publish(real, frame)
        if frame_id < 3:
            streams.publish(real, rendered, streams.entry_id(frame_id), {"mode": "live"})
    streams.GroupConsumer(real, key, streams.VISUALIZE, streams.VISUALIZE).read(3, None)
    if gone == "entry":
        real.xtrim(key, maxlen=0, approximate=False)
    settings = Settings(camera=CAMERA, streams={"shm_dir": str(tmp_path)})
    with drawing(Session("visualize", settings, real)):
        wait_until(lambda: real.xpending(key, streams.VISUALIZE)["pending"] == 0)
    lost = "trimmed" if gone == "entry" else "overwritten"
    assert streams.read_counts(real, CAMERA) == {f"{lost}_before_visualize": 1}


def _exact(client: redis.Redis) -> Session:
    settings = Settings(camera=CAMERA, visualize={"sync": "exact"})
    return Session("visualize", settings, client)


def _publish(client: redis.Redis, frame: Frame) -> None:
    key = streams.frames_key(CAMERA)
    streams.publish(client, key, streams.entry_id(frame.frame_id), messages.frame_fields(frame))


def test_exact_refuses_a_live_camera(client: redis.Redis) -> None:
    streams.ensure_group(client, streams.frames_key(CAMERA), streams.VISUALIZE)
    _publish(client, _frame(1).model_copy(update={"mode": "live"}))
    with pytest.raises(SettingsError, match="camera 'gate-1' is live"):
        service.Visualize().run(_exact(client))


def test_a_frame_that_waits_when_it_is_stopped_is_taken_up_by_the_next(client: redis.Redis) -> None:
    """Also those after it, whose readings have come: nothing may overtake it."""
    key = streams.frames_key(CAMERA)
    for group in (streams.VISUALIZE, streams.OCR):
        streams.ensure_group(client, key, group)
    for frame_id in (1, 2, 3):
        _publish(client, _frame(frame_id))
    streams.GroupConsumer(client, key, streams.OCR, "ocr-1").read(3, None)

    def read(frame_id: int) -> None:
        reading = Reading(frame_id=frame_id, captured_at_ms=1000 + 40 * frame_id)
        fields = messages.reading_fields(reading)
        streams.publish_readings(client, CAMERA, [fields], [streams.entry_id(frame_id)])

    def track(frame_id: int) -> None:
        tracks = Tracks(frame_id=frame_id, captured_at_ms=1000 + 40 * frame_id)
        fields = messages.tracks_fields(tracks)
        streams.publish(client, streams.tracks_key(CAMERA), streams.entry_id(frame_id), fields)

    for frame_id in (1, 3):
        read(frame_id)
    track(1)
    for awaited in (1, 3):
        session = _exact(client)
        with drawing(session):
            wait_until(lambda n=awaited: len(_rendered(client)) == n)  # type: ignore[misc]
        assert [one.frame_id for one in _rendered(client)] == [1, 2, 3][:awaited]
        if awaited == 1:
            read(2)
            track(2)
            track(3)
    own = [one.reading_frame_id for one in _rendered(client)]  # type: ignore[union-attr]
    assert own == [1, 2, 3]


def test_a_frame_overwritten_before_it_was_drawn_is_counted_and_passed_over(
    client: redis.Redis, tmp_path: Path
) -> None:
    """Live, the producer does not wait: of six frames, the ring still holds four."""
    flags = {"camera": CAMERA, "streams.pixels": "shm", "streams.shm_dir": str(tmp_path)}
    settings = load(flags | {"streams.budget_mib": 4, "visualize.live_backlog_frames": 99})
    streams.ensure_group(client, streams.frames_key(CAMERA), streams.VISUALIZE)
    sender = pixels.open_sender(client, settings, CAMERA, "frames")
    sender.prepare(Form(800, 600), waits=False)
    for frame_id in range(1, 7):
        image = np.full((600, 800, 3), 10 * frame_id, np.uint8)
        frame = Frame(
            frame_id=frame_id, captured_at_ms=1000, pts_s=frame_id, width=800, height=600,
            mode="live", pixels=sender.pack(frame_id, image),
        )  # fmt: skip
        streams.publish_captured(client, CAMERA, frame_id, messages.frame_fields(frame))
    session = Session("visualize", settings, client)
    with drawing(session):
        wait_until(lambda: len(_rendered(client)) == 4, what="four rendered frames")
        counts = streams.counts_key(CAMERA)
        counted = "overwritten_before_visualize"
        wait_until(lambda: streams.read_hash(client, counts).get(counted) == "2", what="two lost")
    assert [one.frame_id for one in _rendered(client)] == [3, 4, 5, 6]
    receiver = pixels.Receiver(settings.streams)
    for one in _rendered(client):
        assert isinstance(one, RenderedFrame)
        assert (receiver.unpack(one.pixels, 800, 600) == 10 * one.frame_id).all()
    assert "refused_by_visualize" not in streams.read_hash(client, counts)


@pytest.mark.parametrize("way", ["shm", "raw"])
def test_planes_are_drawn_on_only_where_a_plate_is(
    client: redis.Redis, tmp_path: Path, way: str
) -> None:
    flags = {"camera": CAMERA, "streams.pixels": way, "streams.shm_dir": str(tmp_path)}
    settings = load(flags)
    planes = some_planes(640, 360, Colour("bt709", True))
    streams.ensure_group(client, streams.frames_key(CAMERA), streams.VISUALIZE)
    corners = ((300.0, 200.0), (380.0, 200.0), (380.0, 220.0), (300.0, 220.0))
    plate = Plate(corners=corners, score=0.9, text="A301AA77", confidence=0.9, accepted=True)
    reading = Reading(frame_id=2, captured_at_ms=1080, plates=(plate,))
    streams.publish_readings(client, CAMERA, [messages.reading_fields(reading)], [])
    sender = pixels.open_sender(client, settings, CAMERA, "frames")
    sender.prepare(form_of(planes), waits=False)
    for frame_id in (1, 2):
        frame = Frame(
            frame_id=frame_id, captured_at_ms=1000 + 40 * frame_id, pts_s=0.04 * frame_id,
            width=640, height=360, pixels=sender.pack(frame_id, planes),
        )  # fmt: skip
        streams.publish_captured(client, CAMERA, frame_id, messages.frame_fields(frame))
    session = Session("visualize", settings, client)
    with drawing(session):
        wait_until(lambda: len(_rendered(client)) == 2, what="two rendered frames")
        receiver = pixels.Receiver(settings.streams)
        plain, drawn = (receiver.unpack(one.pixels, 640, 360) for one in _rendered(client))  # type: ignore[union-attr]
    assert form_of(plain) == form_of(drawn) == form_of(planes)
    assert (memory_of(plain) == memory_of(planes)).all()
    assert isinstance(drawn, I420)
    changed = drawn.y != planes.y
    assert changed[195:225, 295:385].any()
    rows, columns = np.nonzero(changed)
    assert rows.min() > 120
    assert rows.max() < 300
    assert columns.min() > 150
    assert columns.max() < 530
