"""Services as processes, each under its own user of Redis."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from platestream import streams
from tests import preloaded
from tests.conftest import wait_until
from tests.deploy.redis.conftest import SecuredRedis, free_port

CAMERA = "gate-1"


@contextmanager
def service(
    server: SecuredRedis,
    name: str,
    *words: str,
    user: str = "",
    port: int = 0,
    camera: str = CAMERA,
) -> Iterator[subprocess.Popen[str]]:
    """A service's process, under a user of its own."""
    command = [sys.executable, "-m", f"services.{name}", *words, "--camera", camera]
    command += ["--set", "log.format=json", "--set", f"http.port={port}"]
    process = preloaded.Popen(
        command, env=server.environment(user or name), stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run_services(
    server: SecuredRedis, source: Path, out: Path, *pace: str, camera: str = CAMERA
) -> None:
    """Runs all five services on a source until the tracker and the writer are through."""
    admin = server.client("admin")
    port = free_port()

    def start(name: str, *words: str, port: int = 0) -> subprocess.Popen[str]:
        return stack.enter_context(service(server, name, *words, port=port, camera=camera))

    with ExitStack() as stack:
        started = {"writer": start("writer", str(out), "--once", "--force", port=port)}
        for name in ("visualize", "track", "ocr"):
            words = ("--set", "ocr.claim_after_ms=200") if name == "ocr" else ()
            started[name] = start(name, *words)
        wait_until(
            lambda: streams.group_facts(admin, streams.frames_key(camera)).get("ocr"), 60, "OCR"
        )
        started["capture"] = start("capture", str(source), *pace)

        def through() -> bool:
            for name, process in started.items():
                assert process.poll() in (None, 0), (name, process.stderr.read())  # type: ignore[union-attr]
            known = streams.read_hash(admin, streams.camera_key(camera))
            recording = streams.read_hash(admin, streams.recording_key(camera))
            ended = admin.xrevrange(streams.passages_key(camera), count=1)
            return (
                known.get("ended") == "1"
                and recording.get("state") == "finished"
                and bool(ended)
                and b"end" in ended[0][1]
            )

        wait_until(lambda: _metrics_are_whole(port), 60, "the writer's metrics")
        wait_until(through, 100, "a run that is through")
        for name in ("ocr", "track", "visualize"):
            started[name].terminate()
        for name in ("capture", "ocr", "track", "visualize"):
            assert started[name].wait(30) == 0, name


def _metrics_are_whole(port: int) -> bool:
    """Whether the writer may ask Redis what its metrics say."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
            text = response.read().decode()
    except OSError:
        return False
    wanted = ('platestream_redis_up{service="writer"} 1.0', "platestream_group_lag_entries")
    return all(line in text for line in wanted)
