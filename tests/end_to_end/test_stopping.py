"""Services stopped while Redis is silent: none waits for an answer that does not come."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from platestream import streams
from platestream.embedded_redis import EmbeddedRedis
from platestream.video import VideoSource
from tests import preloaded
from tests.conftest import wait_until
from tests.end_to_end.running import running
from tests.services.capture.published import CAMERA, counts

SERVICES = ("capture", "ocr", "track", "visualize", "writer")
SOON_S = 10.0  # what docker gives; some 3 s without anything else on the machine

pytestmark = pytest.mark.usefixtures("blind_ocr")


@contextmanager
def started(service: str, source: Path, folder: Path, url: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", f"services.{service}", "--redis", url]
    if service == "capture":
        command += [str(source), "--live"]
    if service == "writer":
        command += ["--set", f"writer.output={folder}/out.mp4"]
    if service != "ocr":
        command += ["--camera", CAMERA]
    environment = {**os.environ, "PLATESTREAM_LOG__FORMAT": "json"}
    process = preloaded.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("noticed", [False, True])
def test_every_service_ends_soon_though_redis_is_silent(
    silent: EmbeddedRedis,
    make_long_video: Callable[[Path, int], Path],
    tmp_path: Path,
    noticed: bool,
) -> None:
    client = streams.connect(silent.url)
    source = make_long_video(tmp_path / "in.mp4", 60)
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(started(name, source, tmp_path, silent.url))
            for name in SERVICES
        }
        wait_until(lambda: counts(client, "frames_written") >= 30, 60, what="frames written")
        wait_until(lambda: client.xlen(streams.readings_key(CAMERA)) >= 5, 60, what="frames read")
        silent.process.send_signal(signal.SIGSTOP)
        if noticed:
            time.sleep(20)  # the fault itself: longer than an answer may take
        began = time.monotonic()
        for process in processes.values():
            process.send_signal(signal.SIGTERM)
        took: dict[str, float] = {}

        def all_have_ended() -> bool:
            for name, process in processes.items():
                if name not in took and process.poll() is not None:
                    took[name] = time.monotonic() - began
            return len(took) == len(processes)

        wait_until(all_have_ended, 60, "their ends")
        said = {name: process.communicate()[1] for name, process in processes.items()}
    assert {name: process.returncode for name, process in processes.items()} == dict.fromkeys(
        SERVICES, 0
    ), said
    assert max(took.values()) < SOON_S, took
    assert not any("Traceback" in log for log in said.values())
    with VideoSource(str(tmp_path / "out-00001.mp4")) as video:
        shown = sum(1 for _ in video.frames())
    lines = (tmp_path / "out-00001.readings.jsonl").read_text().splitlines()
    assert shown == len([json.loads(line) for line in lines]) >= 30


def test_a_run_ends_soon_though_redis_is_silent(
    silent: EmbeddedRedis, make_long_video: Callable[[Path, int], Path], tmp_path: Path
) -> None:
    client = streams.connect(silent.url)
    source = make_long_video(tmp_path / "in.mp4", 60)
    out = tmp_path / "out.mp4"
    with running(source, out, silent.url, "--live", "--ocr-replicas", "0") as run:
        wait_until(lambda: counts(client, "frames_written") >= 30, 60, what="frames written")
        silent.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        run.send_signal(signal.SIGTERM)
        stdout, stderr = run.communicate(timeout=60)
    assert time.monotonic() - began < 2 * SOON_S  # it waits for its services
    assert run.returncode == 2, stderr
    error = json.loads(stdout)["error"]
    assert error.startswith("Redis is silent; stopped without it")
    assert "can be played" in error
    assert "Traceback" not in stderr
    with VideoSource(str(out)) as video:
        assert sum(1 for _ in video.frames()) >= 30
