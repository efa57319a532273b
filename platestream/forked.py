"""A service as a fork of this process: it begins with all that has been imported here."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkProcess
from typing import IO

from setproctitle import setproctitle

from platestream.embedded_redis import die_with_parent

_STOPPING = (signal.SIGINT, signal.SIGTERM)


def may_fork() -> bool:
    """Whether a fork is safe here: another thread may hold a lock, which stays held in the fork."""
    return sys.platform == "linux" and threading.active_count() == 1


class Forked:
    """A process that was forked off, as ``subprocess.Popen`` has it.

    Attributes:
        pid: Its process id.
        stderr: What it writes to stderr.
    """

    def __init__(self, process: ForkProcess, stderr: IO[bytes]) -> None:
        assert process.pid is not None
        self._process = process
        self.pid = process.pid
        self.stderr = stderr

    @property
    def returncode(self) -> int | None:
        """How it ended (negative: by which signal); None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end.

        Raises:
            subprocess.TimeoutExpired: It still runs.
        """
        self._process.join(timeout)
        if (code := self.returncode) is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0.0)
        return code

    def terminate(self) -> None:
        """Asks it to stop."""
        self._process.terminate()

    def kill(self) -> None:
        """Ends it."""
        self._process.kill()


def fork(arguments: Sequence[str], environment: Mapping[str, str]) -> Forked:
    """Forks a service off, in a session of its own; it ends with this process.

    It looks as if it had been started by ``python -m`` with the arguments, in ``ps`` too.

    Args:
        arguments: As after ``python -m``: a package whose ``__main__`` has a ``main``, which takes
            the other arguments and returns an exit code.
        environment: Set beside what is set here.
    """
    reading, writing = os.pipe()
    process = multiprocessing.get_context("fork").Process(
        target=_serve,
        name=arguments[0],
        args=(arguments, environment, os.getpid(), writing),
        daemon=True,
    )
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)  # until it has its own handlers
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(writing)
    return Forked(process, open(reading, "rb"))


def _serve(
    arguments: Sequence[str], environment: Mapping[str, str], parent: int, stderr: int
) -> None:
    """What a fork does: becomes a process of its own, and runs the service."""
    os.setsid()
    setproctitle(" ".join((sys.executable, "-m", *arguments)))
    signal.set_wakeup_fd(-1)
    for number in _STOPPING:
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for ours, theirs in ((nothing, 0), (nothing, 1), (stderr, 2)):
        os.dup2(ours, theirs)
    os.close(nothing)
    os.close(stderr)
    die_with_parent()
    if os.getppid() != parent:  # it was gone before it could be said
        return
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
    os.environ.update(environment)
    module = importlib.import_module(f"{arguments[0]}.__main__")
    sys.argv = [str(module.__file__), *arguments[1:]]
    sys.exit(int(module.main(arguments[1:])))
