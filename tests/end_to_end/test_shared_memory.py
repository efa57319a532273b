"""Shared memory as processes leave it: after a run, after a killed one, and where it is short."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from platestream import streams
from platestream.embedded_redis import EmbeddedRedis
from platestream.video import VideoSource
from tests import preloaded
from tests.conftest import wait_until
from tests.numbered import number_of
from tests.sources import write_video

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
    done = preloaded.run(
        preloaded.limited(command, 2**19), capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 2, done.stderr
    said = json.loads(done.stderr.splitlines()[-1])["event"]
    slot = 86_400 + 4096 - 86_400 % 4096  # planes of 320x180
    assert f"need {8192 + 10 * slot} bytes" in said
    assert "streams.pixels=jpeg" in said
    assert "Traceback" not in done.stderr
    assert streams.connect(server.url).xlen(streams.frames_key(CAMERA)) == 0
    assert os.listdir(tmp_path / "shm") == []


@pytest.mark.parametrize("mode", ["file", "live"])
def test_a_run_for_which_there_is_too_little_says_how_much_it_needs(
    make_video: Callable[..., Path],
    mount_disk: Callable[[int], Path],
    tmp_path: Path,
    server: EmbeddedRedis,
    mode: str,
) -> None:
    source, shm = make_video(tmp_path / "in.mp4", frames=30), mount_disk(1)
    more = ("--set", "streams.pixels=shm", *(["--live"] if mode == "live" else []))
    done = run(source, tmp_path / "out.mp4", server.url, shm, *more)
    _, stderr = done.communicate(timeout=100)
    assert done.returncode == 2, stderr
    slot = 86_400 + 4096 - 86_400 % 4096  # planes of 320x180
    # a run's first ring fits in 1 MiB if it is a file's, and the second one does not
    slots = 10 if mode == "file" else 64
    assert f"{slots} pictures need {8192 + slots * slot} bytes" in stderr
    assert "Traceback" not in stderr
    assert list(shm.iterdir()) == []


def test_a_source_that_grows_midway_goes_on_though_there_is_no_room(
    mount_disk: Callable[[int], Path], tmp_path: Path, server: EmbeddedRedis
) -> None:
    """Its pictures are fitted, and travel as BGR then, which is twice as large as planes."""
    first = write_video(tmp_path / "1.ts", [n / 25 for n in range(20)])
    then = write_video(
        tmp_path / "2.ts", [n / 25 for n in range(20)], size=(640, 360), first_number=20
    )
    source = tmp_path / "in.ts"
    source.write_bytes(first.read_bytes() + then.read_bytes())
    out, shm = tmp_path / "out.mp4", mount_disk(2)
    done = run(source, out, server.url, shm, "--set", "streams.pixels=shm")
    stdout, stderr = done.communicate(timeout=100)
    assert done.returncode == 0, stderr
    assert json.loads(stdout)["frames_written"] == 40
    assert "pictures of 320x180 travel as JPEG meanwhile" in stderr
    with VideoSource(str(out)) as video:
        assert [number_of(frame.image) for frame in video.frames()] == list(range(40))
