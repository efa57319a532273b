"""status: what it says of cameras, and that it goes on watching over a Redis that is away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from queue import Queue
from typing import Any

import pytest
import redis
from rich.console import Console

from platestream import status, streams
from platestream.embedded_redis import EmbeddedRedis
from platestream.errors import RedisError
from platestream.messages import Frame, Pixels, RenderedFrame, frame_fields
from platestream.settings import RedisSettings
from platestream.status import Rates
from tests import preloaded
from tests.conftest import wait_until

CAMERA = "gate-1"


@pytest.fixture
def behind(client: redis.Redis) -> redis.Redis:
    """A camera with six frames, two of them handed to ``visualize``; its names hold a password."""
    streams.register_camera(client, CAMERA, source="rtsp://admin:hunter2@gate/1", mode="live")
    key = streams.frames_key(CAMERA)
    streams.ensure_group(client, key, streams.VISUALIZE)
    for frame_id in range(1, 7):
        pixels = Pixels(codec="raw", data=b"\0" * 12)
        frame = Frame(
            frame_id=frame_id, captured_at_ms=1, pts_s=0, width=2, height=2, pixels=pixels
        )
        streams.publish_captured(client, CAMERA, frame_id, frame_fields(frame))
    streams.GroupConsumer(client, key, streams.VISUALIZE, "one").read(2, None)
    return client


def test_everything_is_there(behind: redis.Redis) -> None:
    behind.set(f"alive:{{{CAMERA}}}:writer:host:12", "1", ex=60)
    behind.set("alive:ocr:host:13", "1", ex=60)
    tally = streams.Tally(behind, CAMERA)
    tally.add(skipped_by_ocr=4)
    tally.send()
    (camera,) = status.collect(behind)
    assert camera["camera"] == CAMERA
    assert camera["facts"]["source"] == "rtsp://admin:***@gate/1"
    assert camera["counts"] == {"frames_in": 6, "skipped_by_ocr": 4}
    assert (camera["alive"], camera["pool"]) == (["writer:host:12"], ["ocr:host:13"])
    assert camera["overlay_age_ms"] is None
    frames = camera["streams"]["frames"]
    assert frames["entries"] == 6
    assert frames["groups"] == {"visualize": {"consumers": 1, "pending": 2, "lag": 4}}


def test_the_memory_of_streams_is_there(real: redis.Redis) -> None:
    streams.register_camera(real, CAMERA, source="x")
    real.xadd(streams.frames_key(CAMERA), {"body": b"x" * 100_000})
    (camera,) = status.collect(real)
    assert 100_000 < camera["streams"]["frames"]["bytes"] < 200_000
    assert camera["streams"]["rendered"]["bytes"] == 0


def test_the_overlay_age_is_the_newest_frames(behind: redis.Redis) -> None:
    key = streams.rendered_key(CAMERA)
    for frame_id, age in ((1, 80), (2, 120)):
        frame = RenderedFrame(
            frame_id=frame_id,
            captured_at_ms=1,
            pts_s=0,
            width=2,
            height=2,
            pixels=Pixels(codec="raw", data=b"\0" * 12),
            reading_frame_id=1,
            overlay_age_ms=age,
        )
        streams.publish(behind, key, streams.entry_id(frame_id), frame_fields(frame))
    streams.publish(behind, key, streams.end_id(2), {"end": "1"})
    assert status.collect(behind)[0]["overlay_age_ms"] == 120


def test_rates_are_between_two_looks() -> None:
    rates = Rates()

    def look(now_s: float, **counts: int) -> dict[str, Any]:
        camera: dict[str, Any] = {"camera": CAMERA, "counts": counts}
        rates.update([camera], now_s)
        seen: dict[str, Any] = camera["rates"]
        return seen

    none = {"frames_in": None, "readings": None, "frames_written": None}
    assert look(10.0, frames_in=100) == none
    assert look(12.0, frames_in=150, readings=4) == {
        "frames_in": 25.0, "readings": 2.0, "frames_written": 0.0
    }  # fmt: skip
    assert look(14.0, frames_in=10, readings=4)["frames_in"] is None


def test_it_can_be_read_by_people(behind: redis.Redis) -> None:
    cameras = status.collect(behind)
    Rates().update(cameras, 1.0)
    console = Console(width=120)
    with console.capture() as printed:
        console.print(status.render(cameras))
    text = printed.get()
    for word in (CAMERA, "rtsp://admin:***@gate/1", "visualize", "frames_in 6", "no service"):
        assert word in text


class Watching:
    """``status --watch`` as a process, and what it has printed."""

    def __init__(self, url: str, *more: str) -> None:
        command = [sys.executable, "-m", "platestream", "status", "--watch", "0.1"]
        command += ["--redis", url, *more]
        self.process = preloaded.Popen(command, stdout=subprocess.PIPE, text=True)
        self.lines: Queue[str] = Queue()
        assert self.process.stdout is not None
        out = self.process.stdout
        threading.Thread(target=lambda: [self.lines.put(x) for x in out], daemon=True).start()

    def wait_for(self, word: str) -> None:
        wait_until(lambda: not self.lines.empty() and word in self.lines.get(), what=word)

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)


def test_it_watches_on_when_redis_comes_back() -> None:
    with EmbeddedRedis() as server:
        streams.register_camera(streams.connect(server.url), CAMERA, source="x")
        both = [Watching(server.url, "--json"), Watching(server.url)]
        try:
            for one in both:
                one.wait_for("gate-1")
            os.kill(server.process.pid, signal.SIGSTOP)
            for one in both:
                one.wait_for("does not answer")
            os.kill(server.process.pid, signal.SIGCONT)
            for one in both:
                one.wait_for("gate-1")
            wait_until(
                lambda: json.loads(both[0].lines.get(timeout=30))["rates"]["frames_in"] == 0.0,
                what="a rate",
            )
            assert [one.end() for one in both] == [0, 0]
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
            for one in both:
                one.process.kill()
                one.process.wait()


def test_numbers_that_are_none_do_not_hide_the_rest(behind: redis.Redis) -> None:
    behind.hset(streams.counts_key(CAMERA), "frames_in", "many")
    behind.hset(streams.camera_key(CAMERA), "last_frame_id", "none")
    (camera,) = status.collect(behind)
    assert camera["counts"]["frames_in"] == 0
    assert camera["streams"]["frames"]["entries"] == 6


def test_data_of_others_under_our_names_is_said(
    any_server: EmbeddedRedis, capsys: pytest.CaptureFixture[str]
) -> None:
    client = streams.connect(any_server.url)
    client.set(streams.CAMERAS_KEY, "a list of mine")
    with pytest.raises(RedisError, match="holds something else under a name"):
        status.show(RedisSettings(url=any_server.url), as_json=True)
    client.delete(streams.CAMERAS_KEY)


def test_a_narrow_terminal_cuts_no_number_off(
    any_server: EmbeddedRedis,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    streams.register_camera(streams.connect(any_server.url), CAMERA, source="x")
    status.show(RedisSettings(url=any_server.url), as_json=False)
    said = capsys.readouterr().out
    assert "…" not in said
    assert "consumers" in said
