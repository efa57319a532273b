"""Services as child processes: started, listened to, started again when they die."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from platestream.embedded_redis import die_with_parent
from platestream.errors import PlatestreamError
from platestream.forked import Forked, fork, may_fork
from platestream.process_limit import starting
from platestream.runtime import EXIT_OK, EXIT_REFUSED

_MOST_RESTARTS = 5  # within the window: a service that cannot live is not started for ever
_RESTART_WINDOW_S = 30.0


class ServiceError(PlatestreamError):
    """A service ended for a reason that starting it again would not mend."""


@dataclass
class Child:
    """One service's process.

    Attributes:
        name: As shown to people: ``capture``, ``ocr-2``.
        tells_fatal: Whether an unexpected error that it dies of goes to ``on_log``, too; what it
            refuses is for whoever started it to say, from ``last_error``.
        inherits: Open files that it keeps, by their numbers.
        last_error: The last error it logged.
        restarts: When it was started again, by the monotonic clock.
    """

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    on_log: Callable[[str, str, str], None]
    tells_fatal: bool = True
    inherits: Sequence[int] = ()
    process: subprocess.Popen[bytes] | Forked | None = None
    last_error: str = ""
    restarts: list[float] = field(default_factory=list)

    def start(self) -> None:
        """Starts the process, in a session of its own: Ctrl-C is for the parent to deal with.

        Raises:
            StartError: There may be no more processes, or none that could be listened to.
        """
        with starting():
            process = subprocess.Popen(
                [sys.executable, "-m", *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={**os.environ, **self.environment},
                start_new_session=True,
                preexec_fn=die_with_parent,
                pass_fds=self.inherits,
            )
            self.process = process
            try:
                self._hear()
            except RuntimeError:  # nobody would hear what it says
                process.kill()
                process.wait()
                raise

    def _hear(self) -> None:
        assert self.process is not None
        assert self.process.stderr is not None
        listener = threading.Thread(target=self._listen, args=(self.process.stderr,), daemon=True)
        listener.start()
        self._listener = listener

    def exit_code(self) -> int | None:
        """How it ended (negative: by which signal), all its log read; None while it runs."""
        assert self.process is not None
        code = self.process.poll()
        if code is not None:
            self._listener.join(2)
        return code

    def check(self) -> bool:
        """Looks after the process; starts it again if it died.

        Returns:
            True once it has ended well.

        Raises:
            ServiceError: It refused to work, or dies again and again.
            StartError: It died, and could not be started again.
        """
        code = self.exit_code()
        if code is None:
            return False
        if code == EXIT_OK:
            return True
        if code == EXIT_REFUSED:
            raise ServiceError(self.last_error or f"{self.name} refused to start")
        now = time.monotonic()
        self.restarts = [at for at in self.restarts if now - at < _RESTART_WINDOW_S] + [now]
        how = how_it_ended(code)
        if len(self.restarts) > _MOST_RESTARTS:
            raise ServiceError(
                f"{self.name} {how} {len(self.restarts)} times within {_RESTART_WINDOW_S:.0f} s"
                + (f": {self.last_error}" if self.last_error else "")
            )
        why = f" ({self.last_error})" if code > 0 and self.last_error else ""
        self.on_log(self.name, "warning", f"{how}{why}; starting it again")
        self.start()
        return False

    def terminate(self) -> None:
        """Asks it to stop."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def kill(self) -> None:
        """Ends it, without waiting for that."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()

    def wait(self, timeout_s: float) -> None:
        """Waits for its end, and kills it when that takes too long."""
        if self.process is None:
            return
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _listen(self, stderr: IO[bytes]) -> None:
        for raw in stderr:
            line = raw.decode("utf-8", "replace").rstrip()
            told = True
            try:
                said = json.loads(line)
                if said.get("fatal"):
                    told = self.tells_fatal and bool(said.get("exception"))
                level, event = str(said["level"]), str(said["event"])
            except (ValueError, KeyError, TypeError, AttributeError):
                level, event = "debug", line
            else:
                if said.get("exception"):
                    event += "\n" + str(said["exception"])
            if level == "error":
                self.last_error = event.splitlines()[0]
            if told:
                self.on_log(self.name, level, event)


def start_all(children: Sequence[Child]) -> None:
    """Starts processes; as forks of this one, if it may fork: they are at work sooner.

    One that is started again later is no fork: there are threads that listen by then.

    Raises:
        StartError: One could not be started; those before it run.
    """
    if not may_fork():
        for child in children:
            child.start()
        return
    with starting():
        for child in children:
            child.process = fork(child.arguments, child.environment)
        for child in children:
            child._hear()


def how_it_ended(code: int) -> str:
    """An exit code in words: ``was killed by signal 9``."""
    return f"was killed by signal {-code}" if code < 0 else f"failed with exit code {code}"
