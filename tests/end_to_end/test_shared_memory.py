"""Shared memory as processes leave it: after a run, after a killed one, and where it is short."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from platestream import streams
from platestream.embedded_redis import EmbeddedRedis
from tests import preloaded
from tests.conftest import wait_until

CAMERA = "gate-1"


def run(source: Path, out: Path, url: str, shm: Path, *extra: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "platestream", "run", str(source)]
    command += ["--output", str(out), "--camera", CAMERA, "--redis", url, "--json"]
    command += ["--ocr-replicas", "0", "--set", f"streams.shm_dir={shm}", *extra]
    return preloaded.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=out.parent
    )


def rings(shm: Path) -> list[Path]:
    return sorted(shm.glob("run-*/*.ring"))


def test_a_run_uses_shared_memory_and_leaves_none_behind(
    make_video: Callable[..., Path], tmp_path: Path, server: EmbeddedRedis
) -> None:
    source, shm = make_video(tmp_path / "in.mp4", frames=400), tmp_path / "shm"
    client = streams.connect(server.url)
    first = run(source, tmp_path / "1.mp4", server.url, shm, "--live")
    try:
        wait_until(lambda: len(rings(shm)) == 2, 60, "two rings")
        wait_until(
            lambda: (
                int(streams.read_hash(client, streams.counts_key(CAMERA)).get("frames_written", 0))
                > 5
            ),
            60,
        )
        left = rings(shm)[0].parent
        first.send_signal(signal.SIGKILL)
        first.wait(20)
        assert left.exists()
    finally:
        first.kill()
        first.communicate()
    short = make_video(tmp_path / "short.mp4", frames=30)
    second = run(short, tmp_path / "2.mp4", server.url, shm)
    stdout, stderr = second.communicate(timeout=100)
    assert second.returncode == 0, stderr
    assert json.loads(stdout)["frames_written"] == 30
    assert list(shm.iterdir()) == []  # its own is gone, and what the killed one left


def test_too_little_shared_memory_is_said_at_the_start(
    make_video: Callable[..., Path], tmp_path: Path, server: EmbeddedRedis
) -> None:
    """A limit on the size of files stands for a /dev/shm that is too small."""
    source = make_video(tmp_path / "in.mp4", frames=10)
    command = [sys.executable, "-m", "services.capture", str(source), "--camera", CAMERA]
    command += ["--redis", server.url, "--set", "streams.pixels=shm"]
    command += ["--set", f"streams.shm_dir={tmp_path / 'shm'}", "--set", "log.format=json"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=100,
        cwd=Path(__file__).parents[2],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**19, 2**19)),
    )
    assert done.returncode == 2, done.stderr
    said = json.loads(done.stderr.splitlines()[-1])["event"]
    slot = 86_400 + 4096 - 86_400 % 4096  # planes of 320x180
    assert f"need {8192 + 10 * slot} bytes" in said
    assert "streams.pixels=jpeg" in said
    assert "Traceback" not in done.stderr
    assert streams.connect(server.url).xlen(streams.frames_key(CAMERA)) == 0
    assert os.listdir(tmp_path / "shm") == []
