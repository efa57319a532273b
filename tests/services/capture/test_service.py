"""capture as a whole, in a thread: when it begins."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import redis
from structlog.testing import capture_logs

from platestream import streams
from platestream.runtime import Session
from platestream.settings import CaptureSettings, Settings
from services.capture.service import Capture
from tests.conftest import wait_until
from tests.services.capture.published import CAMERA, captured


def playing(client: redis.Redis, path: Path, patience_s: float) -> tuple[Session, threading.Thread]:
    """Plays a file as a camera would."""
    settings = CaptureSettings(source=str(path), live=True, ocr_patience_s=patience_s)
    session = Session("capture", Settings(camera=CAMERA, capture=settings), client)
    thread = threading.Thread(target=Capture().run, args=(session,), daemon=True)
    thread.start()
    return session, thread


def test_a_live_source_begins_when_a_replica_reads(
    client: redis.Redis, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    path = make_video(tmp_path / "a.mp4", frames=5)
    looks = []
    hgetall = client.hgetall
    client.hgetall = lambda key: looks.append(key) or hgetall(key)  # type: ignore[method-assign]
    _, thread = playing(client, path, patience_s=60)
    wait_until(lambda: looks.count(streams.REPLICAS_KEY) >= 3, what="looks for a replica")
    assert captured(client) == 0
    streams.announce_replica(client, "ocr-1", 0)
    thread.join(20)
    assert not thread.is_alive()
    assert captured(client) == 5


def test_where_none_comes_it_goes_on_without_and_says_so(
    client: redis.Redis, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    path = make_video(tmp_path / "a.mp4", frames=5)
    with capture_logs() as logs:
        _, thread = playing(client, path, patience_s=0.2)
        thread.join(20)
    assert captured(client) == 5
    assert [x["event"] for x in logs if x["log_level"] == "warning"] == [
        "no replica reads after 0.2 s; going on without"
    ]


def test_one_that_waits_can_be_stopped(
    client: redis.Redis, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    session, thread = playing(client, make_video(tmp_path / "a.mp4", frames=5), patience_s=60)
    session.stopping.set()
    thread.join(20)
    assert not thread.is_alive()
