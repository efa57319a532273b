"""A process that begins with its imports done is one like any other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from platestream import __version__
from tests import preloaded
from tests.conftest import wait_until

TRACK = [sys.executable, "-m", "services.track"]
NOWHERE = "redis://127.0.0.1:1"


def test_what_it_says_and_how_it_ends_come_back(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "platestream"]
    done = preloaded.run([*command, "--version"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"platestream {__version__}\n", "")
    refused = preloaded.run(
        [*command, "run", "missing.mp4"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "missing.mp4" in refused.stderr


def test_it_has_its_own_environment_folder_and_title(tmp_path: Path) -> None:
    environment = {**os.environ, "PLATESTREAM_REDIS__URL": NOWHERE}
    with preloaded.Popen(TRACK, stderr=subprocess.PIPE, cwd=tmp_path, env=environment) as process:
        try:
            assert process.stderr is not None
            assert NOWHERE.encode() in process.stderr.readline()
            place = Path("/proc") / str(process.pid)
            assert (place / "cwd").readlink() == tmp_path
            assert (place / "cmdline").read_bytes().rstrip(b"\0").decode() == " ".join(TRACK)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL


def test_it_is_asked_to_stop_as_any_other() -> None:
    process = preloaded.Popen([*TRACK, "--redis", NOWHERE], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "does not answer" in process.stderr.readline()
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_one_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    command = [*TRACK, "--redis", NOWHERE]
    with pytest.raises(subprocess.TimeoutExpired):
        preloaded.run(command, stderr=subprocess.DEVNULL, timeout=0.5)


def test_what_it_leaves_behind_is_nobodys_here(tmp_path: Path) -> None:
    """Only what was asked for becomes this process's child: who orphans others does as before."""
    script = "import subprocess; print(subprocess.Popen(['sleep', '60'], stdout=2).pid)"
    preloaded.run([sys.executable, "-m", "platestream", "--version"], timeout=60)
    left = int(subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE).stdout)
    try:
        parent = Path(f"/proc/{left}/stat").read_text().rsplit(")", 1)[1].split()[1]
        assert int(parent) != os.getpid()
    finally:
        os.kill(left, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{left}").exists(), what="its end")


def test_several_threads_start_processes_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def echo(word: int) -> str:
        command = [sys.executable, "-c", f"print({word})"]
        return str(preloaded.run(command, capture_output=True, text=True, timeout=60).stdout)

    monkeypatch.setattr(preloaded, "_started", [])  # one of a thread that ends
    for _ in range(2):
        with ThreadPoolExecutor(4) as threads:
            said = list(threads.map(echo, range(12)))
        assert said == [f"{word}\n" for word in range(12)]
