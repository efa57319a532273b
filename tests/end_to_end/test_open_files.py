"""No more files to be opened when a process has to be started: what is said, and who goes on."""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from platestream.embedded_redis import EmbeddedRedis
from platestream.probe import probe
from tests.conftest import wait_until
from tests.end_to_end.running import processes, running
from tests.end_to_end.test_fleet import fleet, write_cameras
from tests.sources import free_port

PATIENCE_S = 60.0
NONE_MORE = 3
"""Fewer than any of them has open: the next one is refused."""

TOO_FEW = 2
"""Files that may still be opened: enough to end in good order, for a process one takes five."""

if not hasattr(resource, "prlimit"):
    pytest.skip("another process's limits cannot be set here", allow_module_level=True)


def _let_open(pid: int, files: int) -> int:
    """Sets how many files a process may have open; returns how many it might."""
    before, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (files, most))
    return before


@pytest.mark.soak  # `run`, below, meets the same limit
def test_a_camera_whose_process_cannot_be_started_is_tried_again_and_the_others_go_on(
    tmp_path: Path, any_server: EmbeddedRedis
) -> None:
    path, port = tmp_path / "cameras.toml", free_port()
    write_cameras(path, {"north": tmp_path / "any.mp4", "south": tmp_path / "any.mp4"})
    with fleet("track", path, any_server.url, "--set", f"http.port={port}") as track:

        def answer(camera: str) -> tuple[bool, str]:
            return probe(f"http://127.0.0.1:{port}/readyz?camera={camera}")

        for camera in ("north", "south"):
            wait_until(lambda camera=camera: answer(camera)[0], PATIENCE_S, camera)
        before = track.children()
        might = _let_open(track.process.pid, NONE_MORE)
        os.kill(before["north"], signal.SIGKILL)
        wait_until(
            lambda: track.says("camera north: no process can be started: the limit of open files"),
            PATIENCE_S,
            "a word of it",
        )
        assert track.process.poll() is None
        assert track.children() == {"south": before["south"]}
        _let_open(track.process.pid, might)
        wait_until(lambda: answer("north")[0], PATIENCE_S, "north served again")
        assert track.children()["south"] == before["south"]
        assert answer("south")[0]
        assert not any("Traceback" in event for event in track.said())
        track.end()


@pytest.mark.usefixtures("blind_ocr")
def test_a_run_that_cannot_start_a_service_again_ends_with_a_sentence(
    tmp_path: Path, any_server: EmbeddedRedis, make_long_video: Callable[[Path, int], Path]
) -> None:
    clip = make_long_video(tmp_path / "clip.mp4", 200)
    with running(clip, tmp_path / "out.mp4", any_server.url, "--live") as run:
        wait_until(lambda: processes(run, "visualize"), PATIENCE_S, "its processes")
        (killed,) = processes(run, "visualize")
        is_open = {int(name) for name in os.listdir(f"/proc/{run.pid}/fd")}
        free = [number for number in range(1000) if number not in is_open]
        _let_open(run.pid, free[TOO_FEW])
        os.kill(killed, signal.SIGKILL)
        stdout, stderr = run.communicate(timeout=PATIENCE_S)
    assert "Traceback" not in stderr
    assert "the limit of open files is reached" in json.loads(stdout)["error"]
    assert run.returncode == 2
