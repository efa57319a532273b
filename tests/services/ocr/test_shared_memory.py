"""ocr and pictures in shared memory: what is gone is counted, what is dead keeps its picture."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import redis

from platestream import messages, pixels, streams
from platestream.messages import Frame
from platestream.picture import Form
from platestream.runtime import Session
from platestream.settings import Settings, load
from services.ocr import service
from tests.conftest import wait_until

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


def capture(client: redis.Redis, settings: Settings, frames: int) -> None:
    streams.ensure_group(client, KEY, streams.OCR)
    streams.register_camera(client, CAMERA, mode="live")
    sender = pixels.open_sender(client, settings, CAMERA, "frames")
    sender.prepare(Form(WIDTH, HEIGHT), waits=False)
    for frame_id in range(1, frames + 1):
        image = np.full((HEIGHT, WIDTH, 3), 20 + frame_id, np.uint8)
        frame = Frame(
            frame_id=frame_id,
            captured_at_ms=1000,
            pts_s=frame_id,
            width=WIDTH,
            height=HEIGHT,
            mode="live",
            pixels=sender.pack(frame_id, image),
        )
        streams.publish_captured(client, CAMERA, frame_id, messages.frame_fields(frame))
    sender.close()


def serve_until_done(client: redis.Redis, settings: Settings, frames: int) -> dict[str, str]:
    session = Session("ocr", settings, client)
    thread = threading.Thread(target=service.run, args=(session,))
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
