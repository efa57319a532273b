"""writer and pictures in shared memory that were overwritten before it came to them."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
import redis

from platestream import messages, pixels, streams
from platestream.messages import End, RenderedFrame
from platestream.picture import Form
from platestream.runtime import Session
from platestream.settings import Settings, load
from platestream.video import VideoSource
from services.writer.service import Writer
from tests.conftest import wait_until

CAMERA = "gate-1"
KEY = streams.rendered_key(CAMERA)
WIDTH, HEIGHT = 800, 600


def settings_for(tmp_path: Path) -> Settings:
    return load(
        {
            "camera": CAMERA,
            "streams.pixels": "shm",
            "streams.shm_dir": str(tmp_path / "shm"),
            "streams.budget_mib": 4,  # four slots
            "writer.output": str(tmp_path / "out.mp4"),
            "writer.once": True,
            "writer.segment_s": 0,
        }
    )


def publish_overwritten(real: redis.Redis, settings: Settings) -> None:
    """Seven frames, of which the first three are overwritten, and their end."""
    streams.ensure_group(real, KEY, streams.WRITER)
    sender = pixels.open_sender(real, settings, CAMERA, "rendered")
    sender.prepare(Form(WIDTH, HEIGHT), waits=False)
    for frame_id in range(1, 8):
        frame = RenderedFrame(
            frame_id=frame_id,
            captured_at_ms=40 * frame_id,
            pts_s=frame_id / 25,
            width=WIDTH,
            height=HEIGHT,
            mode="live",
            pixels=sender.pack(frame_id, np.full((HEIGHT, WIDTH, 3), 20 * frame_id, np.uint8)),
        )
        streams.publish(real, KEY, streams.entry_id(frame_id), messages.frame_fields(frame))
    streams.publish(real, KEY, streams.end_id(7), messages.end_fields(End(frame_id=7, frames=7)))


def test_a_frame_overwritten_before_it_was_written_is_counted_and_left_out(
    real: redis.Redis, tmp_path: Path
) -> None:
    video = tmp_path / "out.mp4"
    settings = settings_for(tmp_path)
    publish_overwritten(real, settings)
    session = Session("writer", settings, real)
    writer = Writer()
    thread = threading.Thread(target=writer.run, args=(session,))
    thread.start()
    try:
        wait_until(lambda: not thread.is_alive(), 60, "the end")
    finally:
        session.stopping.set()
        thread.join(10)
    counts = streams.read_hash(real, streams.counts_key(CAMERA))
    assert (counts["overwritten_before_writer"], counts["frames_written"]) == ("3", "4")
    assert "refused_by_writer" not in counts
    lines = video.with_name("out.readings.jsonl").read_text().splitlines()
    assert [json.loads(line)["frame_id"] for line in lines] == [4, 5, 6, 7]
    with VideoSource(str(video)) as source:
        shown = [round(float(f.image.mean()) / 20) for f in source.frames()]
    assert shown == [4, 5, 6, 7]


def test_one_that_an_outage_leaves_unacknowledged_is_counted_once(
    real: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis goes away as the writer acknowledges the first overwritten frame."""
    settings = settings_for(tmp_path)
    publish_overwritten(real, settings)
    session = Session("writer", settings, real)
    writer = Writer()
    with monkeypatch.context() as outage:
        outage.setattr(streams.GroupConsumer, "ack", _away)
        with pytest.raises(redis.ConnectionError):
            writer.run(session)
    session.catch_up()
    writer.run(session)
    writer.close()
    counts = streams.read_counts(real, CAMERA)
    assert counts == {"overwritten_before_writer": 3, "frames_written": 4}


def _away(*_: object, **__: object) -> None:
    raise redis.ConnectionError("gone")
