"""A fork as a process: what it says, how it ends, what it is called, what it takes with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from platestream.forked import may_fork
from tests.conftest import wait_until

# a parent whose forks run the package ``service``, as ``python -m service`` would
_PARENT = """
import sys, tempfile
from platestream.forked import fork
folder = tempfile.TemporaryDirectory()
child = fork(["service", *sys.argv[1:]], {"FOR_THE_FORK": "yes"})
print(child.pid, folder.name, flush=True)
for line in child.stderr:
    print(line.decode(), end="", flush=True)
print(child.wait(20), flush=True)
"""

_SERVICE = """
import os, signal, sys
def main(argv):
    what = argv[0]
    words = open("/proc/self/cmdline").read().strip("\\0 ").split()
    print(os.environ["FOR_THE_FORK"], sys.argv[1:], words[1:], os.getsid(0) == os.getpid(),
          file=sys.stderr)
    print("on stdout")
    if what == "raise":
        raise ValueError("as asked")
    if what == "wait":
        signal.pause()
    return 3
"""


@pytest.fixture
def parent(tmp_path: Path) -> list[str]:
    """The command of a parent, to which what the service shall do is added."""
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "__init__.py").touch()
    (tmp_path / "service" / "__main__.py").write_text(_SERVICE)
    (tmp_path / "parent.py").write_text(_PARENT)
    return [sys.executable, str(tmp_path / "parent.py")]


def test_a_fork_runs_as_a_process_of_its_own(parent: list[str]) -> None:
    done = subprocess.run([*parent, "return"], capture_output=True, text=True, timeout=60)
    first, said, code = done.stdout.splitlines()
    assert said == "yes ['return'] ['-m', 'service', 'return'] True"
    assert code == "3"
    assert "on stdout" not in done.stdout + done.stderr
    assert not Path(first.split()[1]).exists()  # removed by the parent, at its end


def test_what_it_raises_is_on_its_stderr(parent: list[str]) -> None:
    done = subprocess.run([*parent, "raise"], capture_output=True, text=True, timeout=60)
    assert "ValueError: as asked" in done.stdout
    assert done.stdout.splitlines()[-1] == "1"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_it_and_the_parent_knows(parent: list[str], number: int) -> None:
    with subprocess.Popen([*parent, "wait"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline().split()[0])
        assert process.stdout.readline().startswith("yes")
        os.kill(pid, number)
        assert process.stdout.readline().strip() == str(-number)


def test_it_ends_with_its_parent(parent: list[str]) -> None:
    with subprocess.Popen([*parent, "wait"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline().split()[0])
        assert process.stdout.readline().startswith("yes")
        process.kill()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the fork's end")


def test_where_other_threads_run_nothing_is_forked() -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        assert not may_fork()
    finally:
        end.set()
        thread.join()
