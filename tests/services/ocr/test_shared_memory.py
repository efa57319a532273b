"""ocr and pictures in shared memory: what is gone is counted, what is dead keeps its picture."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import redis

from platestream import messages, pixels, streams
from platestream.colour import BT601
from platestream.messages import Frame
from platestream.picture import I420, Form, Picture, bgr, form_of, i420
from platestream.runtime import Session
from platestream.settings import Settings, load
from services.ocr import service
from services.ocr.replica import Replica
from tests.conftest import wait_until
from tests.services.ocr.replica_process import NumberReader

CAMERA = "gate-1"
KEY = streams.frames_key(CAMERA)
WIDTH, HEIGHT = 800, 600


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Four slots in a ring; a replica that wants every frame."""
    return load(
        {
            "camera": CAMERA,
            "streams.pixels": "shm",
            "streams.shm_dir": str(tmp_path),
            "streams.budget_mib": 4,
            "ocr.name": "a",
            "ocr.policy": "every",
            "ocr.max_deliveries": 1,
        }
    )


def capture(
    client: redis.Redis, settings: Settings, frames: int, picture: Picture | None = None
) -> None:
    streams.ensure_group(client, KEY, streams.OCR)
    streams.register_camera(client, CAMERA, mode="live")
    sender = pixels.open_sender(client, settings, CAMERA, "frames")
    sender.prepare(Form(WIDTH, HEIGHT) if picture is None else form_of(picture), waits=False)
    for frame_id in range(1, frames + 1):
        image = np.full((HEIGHT, WIDTH, 3), 20 + frame_id, np.uint8)
        frame = Frame(
            frame_id=frame_id,
            captured_at_ms=1000,
            pts_s=frame_id,
            width=WIDTH,
            height=HEIGHT,
            mode="live",
            pixels=sender.pack(frame_id, image if picture is None else picture),
        )
        streams.publish_captured(client, CAMERA, frame_id, messages.frame_fields(frame))
    sender.close()


class LookingReader(NumberReader):
    """Keeps the pictures it is given."""

    def __init__(self, takes_planes: bool) -> None:
        super().__init__()
        self.takes_planes = takes_planes
        self.seen: list[Picture] = []

    def read(self, images, near):  # type: ignore[no-untyped-def]
        self.seen += images
        return [[] for _ in images]


@pytest.mark.parametrize("takes_planes", [True, False])
def test_planes_are_made_bgr_before_they_are_read_unless_the_reader_takes_them(
    client: redis.Redis, settings: Settings, takes_planes: bool
) -> None:
    planes = i420(np.full((HEIGHT, WIDTH, 3), (90, 60, 30), np.uint8), BT601)
    capture(client, settings, 1, planes)
    reader = LookingReader(takes_planes)
    consumer = streams.PoolConsumer(client, "a")
    consumer.serve([CAMERA])
    Replica(Session("ocr", settings, client), reader, "a").handle(consumer.take(1, 1))
    (seen,) = reader.seen
    assert isinstance(seen, I420) == takes_planes
    assert np.abs(bgr(seen).astype(int) - (90, 60, 30)).max() <= 3


def serve_until_done(client: redis.Redis, settings: Settings, frames: int) -> dict[str, str]:
    session = Session("ocr", settings, client)
    thread = threading.Thread(target=service.Ocr().run, args=(session,))
    thread.start()
    try:
        wait_until(
            lambda: streams.first_unfinished(client, KEY, streams.OCR) > frames, 60, "all done"
        )
    finally:
        session.stopping.set()
        thread.join(30)
    return streams.read_hash(client, streams.counts_key(CAMERA))


def test_frames_overwritten_before_they_were_read_are_counted(
    real: redis.Redis, settings: Settings
) -> None:
    capture(real, settings, 6)
    counts = serve_until_done(real, settings, 6)
    assert counts["overwritten_before_ocr"] == "2"
    assert counts["readings"] == "4"
    assert "dead" not in counts
    entries = real.xrange(streams.readings_key(CAMERA))
    assert sorted(messages.parse_reading(f).frame_id for _, f in entries) == [3, 4, 5, 6]


def test_a_dead_frame_keeps_its_picture_when_its_slot_is_used_again(
    real: redis.Redis, settings: Settings, tmp_path: Path
) -> None:
    capture(real, settings, 1)
    streams.GroupConsumer(real, KEY, streams.OCR, "a").read(1, None)  # and dies with it
    counts = serve_until_done(real, settings, 1)
    assert counts["dead"] == "1"
    for path in tmp_path.iterdir():
        path.unlink()
    ((_, fields),) = real.xrange(streams.dead_key(CAMERA))
    frame = messages.parse_frame(fields)
    assert isinstance(frame, Frame)
    image = pixels.Receiver(settings.streams).unpack(frame.pixels, WIDTH, HEIGHT)
    assert np.abs(image.astype(int) - 21).max() <= 3


def test_a_frame_taken_back_and_published_again_is_read_by_who_has_it_now(
    real: redis.Redis, settings: Settings
) -> None:
    """Of a file, capture takes frames back when Redis was away, while a replica holds them."""

    def publish(sender: pixels.Sender) -> None:
        image = np.full((HEIGHT, WIDTH, 3), 50, np.uint8)
        frame = Frame(frame_id=1, captured_at_ms=1, pts_s=0, width=WIDTH, height=HEIGHT,
                      mode="file", pixels=sender.pack(1, image))  # fmt: skip
        streams.publish_captured(real, CAMERA, 1, messages.frame_fields(frame))

    streams.register_camera(real, CAMERA, mode="file", first_frame_id="1")
    sender = pixels.open_sender(real, settings, CAMERA, "frames")
    sender.prepare(Form(WIDTH, HEIGHT), waits=True)
    first, second = (streams.PoolConsumer(real, name, "every") for name in ("a", "b"))
    replicas = [
        Replica(Session("ocr", settings, real), NumberReader(), name) for name in ("a", "b")
    ]
    first.serve([CAMERA])
    second.serve([CAMERA])
    publish(sender)
    before = first.take(1, 1)
    assert streams.rewind(real, CAMERA, [streams.OCR], 1) == 1
    publish(sender)
    after = second.take(1, 1)
    replicas[0].handle(before)
    assert streams.first_unfinished(real, KEY, streams.OCR) == 1
    replicas[1].handle(after)
    sender.close()
    assert real.xlen(streams.readings_key(CAMERA)) == 1
    assert streams.read_counts(real, CAMERA) == {"frames_in": 1, "readings": 1}


def test_what_is_trimmed_and_overwritten_is_done_with(
    real: redis.Redis, settings: Settings
) -> None:
    capture(real, settings, 6)
    consumer = streams.PoolConsumer(real, "a", "every")
    consumer.serve([CAMERA])
    taken = consumer.take(6, 1)
    real.xtrim(KEY, minid=streams.entry_id(3), approximate=False)
    Replica(Session("ocr", settings, real), NumberReader(), "a").handle(taken)
    assert streams.read_counts(real, CAMERA)["overwritten_before_ocr"] == 2
    assert streams.first_unfinished(real, KEY, streams.OCR) == 7


def test_a_replica_removes_and_unmaps_rings_of_cameras_that_are_gone(
    real: redis.Redis, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_REMOVE_S", 0.05)
    monkeypatch.setattr(service, "_load", lambda _: NumberReader())
    capture(real, settings, 4)
    session = Session("ocr", settings, real)
    thread = threading.Thread(target=service.Ocr().run, args=(session,))
    thread.start()
    try:
        wait_until(lambda: streams.first_unfinished(real, KEY, streams.OCR) > 4, 60, "all done")
        (ring,) = tmp_path.glob("*.ring")
        maps = Path("/proc/self/maps")
        assert ring.name in maps.read_text()
        real.xtrim(KEY, maxlen=0)
        assert streams.retire_camera(real, CAMERA)
        wait_until(lambda: not ring.exists(), 20, "the ring removed")
        wait_until(lambda: ring.name not in maps.read_text(), 20, "its memory given back")
    finally:
        session.stopping.set()
        thread.join(30)
