"""Processes of the command line and of services that begin with all imports done.

To import what they need takes each of them longer than most of what tests ask of them, and tests
start them by the hundred. So each worker of pytest has one process that has imported it, and forks:
``python -m tests.preloaded``. What it forks is handed over to the worker, whose child it is then as
any other, to be waited for and killed. ``platestream run`` starts its services in the same way
(``platestream.forked``). What is started again in a run or a fleet, and what the images, the
manifests and ``tests.platestream.test_cli`` start, begins from nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import io
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from setproctitle import setproctitle

from platestream.embedded_redis import die_with_parent

_ROOT = Path(__file__).parents[1]
_SERVICES = tuple(f"services.{name}" for name in ("capture", "ocr", "track", "visualize", "writer"))
_OTHERS = ("platestream.vision.backends.openvino", "tests.numbered")  # what they import later
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER, linux/prctl.h
_on_interrupt = signal.getsignal(signal.SIGINT)  # what Python does, in every fork


class Popen(subprocess.Popen[Any]):
    """``subprocess.Popen`` for ``[sys.executable, "-m", MODULE, …]``, without waiting for imports.

    The module is ``platestream``, one of the services, or one of the tests' own that runs one; a
    script that does (``"-c", SCRIPT``) may stand in its place. The process ends with this one.
    Linux only, as all that these tests kill and look into.
    """

    def _execute_child(
        self,
        args: Sequence[str],
        executable: str | None,
        preexec_fn: object,
        close_fds: bool,
        pass_fds: Sequence[int],
        cwd: str | Path | None,
        env: Mapping[str, str] | None,
        startupinfo: object,
        creationflags: int,
        shell: bool,
        *more: Any,
    ) -> None:
        """What ``subprocess.Popen`` calls to start its process; sets ``pid``."""
        python, *words = map(str, args)
        assert python == sys.executable, args
        assert words[0] in ("-m", "-c"), args
        assert (preexec_fn, tuple(pass_fds), shell) == (None, (), False)
        pipes = more[:6]  # the child's end and this one's of stdin; then of stdout, stderr
        theirs = (pipes[0], pipes[3], pipes[5])
        files = [own if given == -1 else given for own, given in enumerate(theirs)]
        self.pid = _preloaded().fork(
            words, dict(os.environ if env is None else env), str(cwd or os.getcwd()), files
        )
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


def run(
    command: Sequence[str], *, capture_output: bool = False, timeout: float, **more: Any
) -> subprocess.CompletedProcess[Any]:
    """``subprocess.run`` with this ``Popen``.

    Raises:
        subprocess.TimeoutExpired: It takes longer than so many seconds; it has been killed.
    """
    if capture_output:
        more |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Popen(command, **more) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def limited(command: Sequence[str], largest_file: int) -> list[str]:
    """The same for a process whose files may grow to so many bytes; the limit may be raised."""
    python, flag, module, *words = map(str, command)
    assert flag == "-m", command
    script = (
        "import resource, runpy\n"
        f"limits = {largest_file}, resource.RLIM_INFINITY\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, limits)\n"
        f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)\n"
    )
    return [python, "-c", script, *words]


class _Preloaded:
    """The process that has imported everything, seen from the worker."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", "tests.preloaded", str(theirs.fileno())]
            # ends when nobody can ask any more; not with the thread that happens to start it
            self._process = subprocess.Popen(
                command, cwd=_ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
            )

    def fork(
        self, words: Sequence[str], environment: Mapping[str, str], cwd: str, files: Sequence[int]
    ) -> int:
        """Has a process forked that becomes this one's child; returns its process id."""
        asked = {"words": words, "environment": environment, "cwd": cwd, "parent": os.getpid()}
        prctl = ctypes.CDLL(None).prctl
        with self._lock:  # a test may start processes from several threads
            # for this moment only: what tests orphan otherwise is not theirs to wait for
            assert not prctl(_SUBREAPER, 1, 0, 0, 0)
            try:
                socket.send_fds(self._socket, [json.dumps(asked).encode()], files)
                return int(self._socket.recv(100))
            finally:
                prctl(_SUBREAPER, 0, 0, 0, 0)


_started: list[_Preloaded] = []
_starting = threading.Lock()


def _preloaded() -> _Preloaded:
    with _starting:
        if not _started:
            _started.append(_Preloaded())
        return _started[0]


def _serve(asked: socket.socket) -> tuple[list[str], int]:
    """Forks whenever it is asked; in the fork, returns the words after ``python``, the parent.

    A fork of a fork is the worker's child as soon as the one between has ended.
    """
    while True:
        message, files, _, _ = socket.recv_fds(asked, 2**20, 3)
        if not message:
            os._exit(0)
        reading, writing = os.pipe()
        if between := os.fork():
            os.close(writing)
            for file in files:
                os.close(file)
            os.waitpid(between, 0)
            asked.send(os.read(reading, 100))
            os.close(reading)
            continue
        if forked := os.fork():
            os.write(writing, str(forked).encode())
            os._exit(0)
        asked.close()
        os.close(reading)
        os.close(writing)
        said = json.loads(message)
        _become(said["words"], said["environment"], said["cwd"], files)
        return said["words"], said["parent"]


def _become(
    words: Sequence[str], environment: Mapping[str, str], cwd: str, files: Sequence[int]
) -> None:
    """Makes this fork what was asked for: its files, environment, folder and title."""
    moved = [os.dup(file) for file in files]  # out of the way of one another
    for number, (file, was) in enumerate(zip(moved, files, strict=True)):
        os.dup2(file, number)
        os.close(file)
        os.close(was)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    setproctitle(" ".join((sys.executable, *words)))
    signal.signal(signal.SIGINT, _on_interrupt)
    sys.stdin, sys.stdout = _text(0, "r"), _text(1, "w")
    sys.stderr = _text(2, "w", errors="backslashreplace", line_buffering=True)


def _text(file: int, mode: str, **more: Any) -> io.TextIOWrapper:
    """One of the standard files, as Python opens it."""
    return io.TextIOWrapper(open(file, f"{mode}b", closefd=False), "utf-8", **more)


def _run(words: Sequence[str], parent: int) -> object:
    """Runs a module or a script as Python does; returns the exit code."""
    while os.getppid() != parent:  # the one between is about to end
        time.sleep(0.0002)
    die_with_parent()
    flag, module, *more = words
    if flag == "-c":
        sys.argv = [flag, *more]
        exec(compile(module, "<string>", "exec"), {"__name__": "__main__"})
        return 0
    sys.argv = [module, *more]
    if module in (*_SERVICES, "platestream"):
        main = importlib.import_module(f"{module}.__main__")
        sys.argv[0] = str(main.__file__)
        return main.main()
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


def main() -> None:
    """Imports, and forks until nobody is there to ask; then, in a fork, what was asked for."""
    asked = socket.socket(fileno=int(sys.argv[1]))
    for module in (*_SERVICES, "platestream"):
        importlib.import_module(f"{module}.__main__")
    for module in _OTHERS:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    setproctitle("platestream, preloaded")  # looks where titles stand, which a fork has moved
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker; this ends after it
    assert len(os.listdir("/proc/self/task")) == 1  # a lock that another thread holds stays held
    gc.collect()
    gc.freeze()  # a fork that looks through it would have to copy it
    words, parent = _serve(asked)
    sys.exit(_run(words, parent))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
