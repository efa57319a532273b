"""capture as a whole, in a thread: when it begins, and what it does after its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from structlog.testing import capture_logs

from platestream import runtime, streams
from platestream.runtime import Session
from platestream.settings import CaptureSettings, Settings
from services.capture import service
from services.capture.service import Capture
from tests.conftest import wait_until
from tests.services.capture.published import CAMERA, captured, facts, frames


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


@pytest.fixture
def staying(
    client: redis.Redis,
    make_video: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Callable[[], int]]]:
    """Captures a file of five frames, and stays, in the place of one before it.

    Returns:
        What says how often it has looked at Redis.
    """
    monkeypatch.setattr(service, "_LOOK_S", 0.01)
    path = make_video(tmp_path / "a.mp4", frames=5)
    looks = []
    hgetall = client.hgetall
    client.hgetall = lambda key: looks.append(key) or hgetall(key)  # type: ignore[method-assign]
    begun: list[tuple[Session, threading.Thread]] = []

    def end_all() -> None:
        while begun:
            session, thread = begun.pop()
            session.stopping.set()
            thread.join(20)
            assert not thread.is_alive()

    def stay(*, live: bool = False, run_id: str = "") -> Callable[[], int]:
        end_all()
        before = facts(client).get("captured_by")
        capture = CaptureSettings(
            source=str(path), live=live, ocr_patience_s=0, stay=True, wait_for="", run_id=run_id
        )
        session = Session("capture", Settings(camera=CAMERA, capture=capture), client)
        thread = threading.Thread(target=runtime._live, args=(session, Capture().run), daemon=True)
        thread.start()
        begun.append((session, thread))
        wait_until(
            lambda: (
                facts(client).get("state") == "ended" and facts(client).get("captured_by") != before
            ),
            what="the end",
        )
        return lambda: len(looks)

    yield stay
    end_all()


@pytest.mark.parametrize("again", [False, True])
def test_a_file_is_published_again_where_redis_is_emptied_after_its_end(
    client: redis.Redis, staying: Callable[..., object], again: bool
) -> None:
    client.hset(streams.camera_key(CAMERA), "last_frame_id", "20")
    staying(run_id="run-1")
    if again:  # started again, it has published nothing itself
        staying(run_id="run-1")
    before = facts(client)
    client.flushall()
    wait_until(lambda: facts(client).get("state") == "ended", what="the end once more")
    assert [frame.frame_id for frame in frames(client)] == [21, 22, 23, 24, 25]
    after = facts(client)
    for name in ("first_frame_id", "started_at_ms", "frames", "ended", "last_frame_id"):
        assert after[name] == before[name], name


@pytest.mark.parametrize("live", [False, True])
def test_an_end_that_redis_has_lost_is_published_again(
    client: redis.Redis, staying: Callable[..., object], live: bool
) -> None:
    staying(live=live)
    key = streams.frames_key(CAMERA)
    entries = client.xrange(key)
    client.delete(key)  # it comes back as it was a moment before
    for stream_id, fields in entries[:-1]:
        client.xadd(key, fields, id=stream_id)
    streams.register_camera(client, CAMERA, ended="0", state="live")
    wait_until(lambda: facts(client)["state"] == "ended", what="the end once more")
    assert client.xrange(key) == entries
    assert captured(client) == 5


def test_a_later_recording_of_another_capture_is_left_alone(
    client: redis.Redis, staying: Callable[..., Callable[[], int]]
) -> None:
    looks = staying()
    streams.register_camera(
        client, CAMERA, first_frame_id="6", ended="0", captured_by="other:1:00000000"
    )
    before, entries = looks(), client.xlen(streams.frames_key(CAMERA))
    wait_until(lambda: looks() > before + 5, what="looks at Redis")
    assert client.xlen(streams.frames_key(CAMERA)) == entries
    assert facts(client)["captured_by"] == "other:1:00000000"
