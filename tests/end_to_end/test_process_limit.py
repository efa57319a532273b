"""A fleet that may have no more threads: what it says, and that it goes on when it may."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from platestream.embedded_redis import EmbeddedRedis
from platestream.probe import probe
from tests.conftest import wait_until
from tests.end_to_end.test_fleet import children_of
from tests.sources import free_port

NOBODY = 61_234
"""A user of whom nothing else runs: the limit counts all of a user's threads."""

AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]

THREADS = 9
"""The fleet's two, and five for a camera, with the one that listens to it: enough for one."""

PATIENCE_S = 60.0


@pytest.fixture
def limited(
    any_server: EmbeddedRedis,
) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """track for three cameras, with too few threads; its process, its port and its log."""
    for tool in ("setpriv", "prlimit"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} here")
    if os.geteuid() != 0:
        pytest.skip("only root can become a user of whom nothing else runs")
    port = free_port()
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        folder = Path(name)
        folder.chmod(0o755)
        with _track(folder, any_server.url, port) as process:
            yield process, port, folder / "log"


@contextmanager
def _track(folder: Path, url: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    path, log = folder / "cameras.toml", folder / "log"
    path.write_text("".join(f"[cameras.{name}]\nsource = '/none'\n" for name in "abc"))
    # what root may read: checkout and packages may be closed to others
    reading = "+dac_override,+dac_read_search"
    command = [
        "prlimit", f"--nproc={THREADS}:200", *AS_NOBODY,
        f"--inh-caps={reading}", f"--ambient-caps={reading}",
        sys.executable, "-m", "services.track", "--cameras", str(path),
        "--redis", url, "--set", f"http.port={port}",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with log.open("w") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file, cwd="/")
    try:
        yield process
    finally:
        process.terminate()
        process.wait(40)
        print(log.read_text())


@pytest.mark.soak  # in short: tests/platestream/test_process_limit.py
def test_no_thread_to_be_had_is_said_and_the_fleet_is_not_ready(
    limited: tuple[subprocess.Popen[bytes], int, Path],
) -> None:
    process, port, log = limited

    def answer() -> tuple[bool, str]:
        return probe(f"http://127.0.0.1:{port}/readyz")

    wait_until(lambda: "keep dying" in answer()[1], PATIENCE_S, "a word about it")
    assert not answer()[0]
    said = log.read_text()
    assert "the limit of processes, which counts threads, is reached" in said
    assert "pids_limit" in said
    assert "report it" not in said
    assert "Traceback" not in said
    assert process.poll() is None
    assert len(children_of(process.pid)) <= 2

    raising = [*AS_NOBODY, "prlimit", f"--pid={process.pid}", "--nproc=200:200"]
    subprocess.run(raising, check=True)
    wait_until(lambda: answer()[0], PATIENCE_S, "all cameras served")
    assert set(children_of(process.pid)) == {"a", "b", "c"}
