"""Faults that are really caused: processes killed, Redis gone; nothing of a file is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from platestream import messages, streams
from platestream.demo import built_in_clip
from platestream.embedded_redis import EmbeddedRedis
from platestream.video import VideoSource
from tests.conftest import number_of, wait_until

CAMERA = "gate-1"
FRAMES = 100


@contextmanager
def running(source: Path, out: Path, url: str, *extra: str) -> Iterator[subprocess.Popen[str]]:
    """``platestream run`` under way."""
    command = [sys.executable, "-c", "from platestream.cli import main; main()", "run", str(source)]
    command += ["--output", str(out), "--camera", CAMERA, "--redis", url, "--json", *extra]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=out.parent
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def written(client: redis.Redis) -> int:
    return int(streams.read_hash(client, streams.counts_key(CAMERA)).get("frames_written", 0))


def pids(client: redis.Redis, service: str) -> list[int]:
    keys = client.scan_iter(match=f"alive:{{{CAMERA}}}:{service}:*", count=1000)
    return [int(key.decode().rsplit(":", 1)[1]) for key in keys]


def finish(process: subprocess.Popen[str], seconds: float = 90) -> dict[str, object]:
    stdout, stderr = process.communicate(timeout=seconds)
    assert process.returncode == 0, stderr
    return json.loads(stdout)


def check_whole(out: Path) -> None:
    """Every frame is in the video and in the lines: once, and in order."""
    with VideoSource(str(out)) as video:
        assert [number_of(f.image) for f in video.frames()] == list(range(FRAMES))
    lines = out.with_name("out.readings.jsonl").read_text().splitlines()
    assert [json.loads(line)["frame_id"] for line in lines] == list(range(1, FRAMES + 1))


def frames_read(client: redis.Redis) -> set[int]:
    entries = client.xrange(streams.readings_key(CAMERA))
    return {messages.parse_reading(fields).frame_id for _, fields in entries}


@pytest.fixture
def source(make_video: Callable[..., Path], tmp_path: Path) -> Path:
    return make_video(tmp_path / "in.mp4", frames=FRAMES)


@pytest.mark.parametrize("victim", ["capture", "ocr", "track", "visualize", "writer"])
def test_a_killed_service_loses_nothing_of_a_file(
    source: Path, tmp_path: Path, server: EmbeddedRedis, victim: str
) -> None:
    client = streams.connect(server.url)
    out = tmp_path / "out.mp4"
    with running(source, out, server.url) as process:
        wait_until(lambda: written(client) >= 25 and pids(client, victim), what="frames written")
        for pid in pids(client, victim):
            os.kill(pid, signal.SIGKILL)
        result = finish(process)
    assert result["frames_written"] == FRAMES
    check_whole(out)
    assert frames_read(client) == set(range(1, FRAMES + 1))


def test_a_tracker_killed_again_and_again_passes_every_plate_on_once(
    tmp_path: Path, server: EmbeddedRedis
) -> None:
    clip, truth = built_in_clip()
    client = streams.connect(server.url)
    key = streams.tracks_key(CAMERA)
    with running(clip, tmp_path / "out.mp4", server.url) as process:
        for frames in (40, 130, 220):
            wait_until(lambda n=frames: client.xlen(key) >= n, 60, "tracks")  # type: ignore[misc]
            wait_until(lambda: pids(client, "track"), what="a tracker")
            for pid in pids(client, "track"):
                with contextlib.suppress(ProcessLookupError):  # the one before, not yet forgotten
                    os.kill(pid, signal.SIGKILL)
        result = finish(process)
    assert [streams.frame_id_of(i) for i, _ in client.xrange(key)] == [*range(1, 301), 300]
    texts = [seen["text"] for seen in result["plates"]]  # type: ignore[attr-defined]
    assert len(texts) == len(set(texts))
    assert len(set(texts) & {plate["text"] for plate in truth["plates"]}) >= 5
    assert result["frames_written"] == 300


def test_frames_held_by_a_killed_replica_are_read_by_another(
    source: Path, tmp_path: Path, server: EmbeddedRedis
) -> None:
    """The replica is stopped while it holds frames, then killed: another one claims them."""
    client = streams.connect(server.url)
    out = tmp_path / "out.mp4"
    key = streams.frames_key(CAMERA)

    def held_by(name: str) -> list[str]:
        rows = client.xpending_range(key, streams.OCR, "-", "+", 100, consumername=name)
        return [row["message_id"].decode() for row in rows]

    claim = ("--set", "ocr.claim_after_ms=500")
    with running(source, out, server.url, "--ocr-replicas", "2", *claim) as process:
        wait_until(lambda: written(client) >= 20 and len(pids(client, "ocr")) == 2, what="start")
        victim = consumer_pids(client)["ocr-1"]

        def stopped_with_frames() -> bool:
            os.kill(victim, signal.SIGSTOP)
            if held_by("ocr-1"):
                return True
            os.kill(victim, signal.SIGCONT)
            return False

        wait_until(stopped_with_frames, what="a replica that holds frames")
        held = held_by("ocr-1")
        os.kill(victim, signal.SIGKILL)
        result = finish(process)
    assert held
    assert {streams.frame_id_of(entry) for entry in held} <= frames_read(client)
    assert frames_read(client) == set(range(1, FRAMES + 1))
    assert result["frames_written"] == FRAMES
    check_whole(out)


def consumer_pids(client: redis.Redis) -> dict[str, int]:
    """Process ids by replica name, from their command lines."""
    found = {}
    for pid in pids(client, "ocr"):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        found[words[words.index(b"--name") + 1].decode()] = pid
    return found


def test_sigterm_ends_a_run_in_good_order(
    source: Path, tmp_path: Path, server: EmbeddedRedis
) -> None:
    client = streams.connect(server.url)
    out = tmp_path / "out.mp4"
    with running(source, out, server.url, "--live") as process:
        wait_until(lambda: written(client) >= 20, what="frames written")
        process.send_signal(signal.SIGTERM)
        result = finish(process)
    count = result["frames_written"]
    assert 20 <= count < FRAMES  # type: ignore[operator]
    assert result["frames_lost"] == 0
    with VideoSource(str(out)) as video:
        assert [number_of(f.image) for f in video.frames()] == list(range(count))  # type: ignore[call-overload]


def test_services_end_with_their_run(source: Path, tmp_path: Path, server: EmbeddedRedis) -> None:
    client = streams.connect(server.url)
    with running(source, tmp_path / "out.mp4", server.url, "--live") as process:
        wait_until(lambda: written(client) >= 5, what="frames written")
        names = ("capture", "ocr", "track", "visualize", "writer")
        wait_until(lambda: all(pids(client, name) for name in names), what="five services")
        alive = [pid for name in names for pid in pids(client, name)]
        process.kill()
        wait_until(lambda: not any(map(_runs, alive)), 20, "services gone")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_redis_that_dies_is_said_and_the_video_can_be_played(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    with EmbeddedRedis() as server:
        client = streams.connect(server.url)
        with running(source, out, server.url, "--live", "--set", "redis.patience_s=1") as process:
            wait_until(lambda: written(client) >= 20, what="frames written")
            server.process.kill()
            stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 2, stderr
    assert "has not answered" in json.loads(stdout)["error"]
    assert "can be played" in json.loads(stdout)["error"]
    assert "Traceback" not in stderr
    with VideoSource(str(out)) as video:
        shown = [number_of(f.image) for f in video.frames()]
    assert shown == list(range(len(shown)))
    assert len(shown) >= 19


def test_a_camera_in_use_is_not_taken_over(
    make_video: Callable[..., Path], tmp_path: Path, server: EmbeddedRedis
) -> None:
    source = make_video(tmp_path / "long.mp4", frames=1500)
    client = streams.connect(server.url)
    with running(source, tmp_path / "out.mp4", server.url, "--live") as first:
        wait_until(lambda: written(client) >= 5, what="frames written")
        with running(source, tmp_path / "other.mp4", server.url) as second:
            stdout, _ = second.communicate(timeout=60)
        assert second.returncode == 2
        assert "in use" in json.loads(stdout)["error"]
        first.send_signal(signal.SIGTERM)
        finish(first)
