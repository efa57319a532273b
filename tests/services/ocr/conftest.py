"""Cameras with frames, and replicas as processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from platestream import messages, pixels, streams
from platestream.embedded_redis import EmbeddedRedis
from platestream.messages import Frame
from tests import preloaded
from tests.numbered import numbered_picture

ROOT = Path(__file__).parents[3]
WIDTH, HEIGHT = 96, 48


def frame_fields(frame_id: int, mode: str = "file", codec: str = "jpeg") -> dict[str, str | bytes]:
    """A frame whose picture shows its id."""
    packed = pixels.pack(numbered_picture(frame_id, WIDTH, HEIGHT), codec)  # type: ignore[arg-type]
    frame = Frame(
        frame_id=frame_id,
        captured_at_ms=1000 + frame_id,
        pts_s=0,
        width=WIDTH,
        height=HEIGHT,
        mode=mode,  # type: ignore[arg-type]
        pixels=packed,
    )
    return messages.frame_fields(frame)


def capture(client: redis.Redis, camera: str, *frame_ids: int, mode: str = "file") -> None:
    """Publishes frames as capture does."""
    streams.register_camera(client, camera, mode=mode)
    key = streams.frames_key(camera)
    streams.ensure_group(client, key, streams.OCR)
    for frame_id in frame_ids:
        streams.publish_captured(client, camera, frame_id, frame_fields(frame_id, mode))


def frames_read(client: redis.Redis, camera: str) -> list[int]:
    """The frames that there are readings of, in the order in which they came."""
    return [int(f[b"frame_id"]) for _, f in client.xrange(streams.readings_key(camera))]


def counted(client: redis.Redis, camera: str, name: str) -> int:
    return int(streams.read_hash(client, streams.counts_key(camera)).get(name, 0))


def held(client: redis.Redis, camera: str, name: str) -> list[int]:
    """The frames that a replica has been handed and has not finished."""
    key = streams.frames_key(camera)
    rows = client.xpending_range(key, streams.OCR, "-", "+", 1000, consumername=name)
    return [streams.frame_id_of(row["message_id"]) for row in rows]


@pytest.fixture
def replica(server: EmbeddedRedis) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a replica: ``replica("name", {"delay_s": 1}, "ocr.batch=2")``."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(
        name: str, reader: dict[str, object] | None = None, *assignments: str
    ) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.services.ocr.replica_process", server.url]
        command += [json.dumps(reader or {}), f"ocr.name={name}", *assignments]
        process = preloaded.Popen(command, cwd=ROOT)
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait(10)
