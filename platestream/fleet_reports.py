"""How a camera's process tells its fleet how it does: a line a second, through a pipe."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time

from platestream.health import START_S, Health

VARIABLE = "PLATESTREAM_REPORTS_FD"
"""In the environment of a fleet's process: the end of the pipe that it writes to."""

EVERY_S = 1.0
_SILENT_S = 5.0  # several reports are missing: worth a word
_HUNG_S = 5.0  # said again and again; a process that was suspended may say it once as it wakes
_LONGEST_STEP_S = 1.0
# In JSON none takes more than 12 bytes: a line is shorter than PIPE_BUF, and goes as a whole.
_MOST_CHARACTERS = 300


def report(health: Health) -> None:
    """Tells the fleet that has started this process, if one has, from a thread of its own."""
    said = os.environ.pop(VARIABLE, "")
    if not said:
        return
    writing = int(said)
    os.set_inheritable(writing, False)
    os.set_blocking(writing, False)  # a fleet that stands still holds nobody up
    threading.Thread(target=_report, args=(health, writing), name="reports", daemon=True).start()


def _report(health: Health, writing: int) -> None:
    while True:
        alive, ready = health.is_alive(), health.is_ready()
        words = "; ".join(ready.reasons if alive.ok else alive.reasons)
        facts = {"alive": alive.ok, "wrong": "" if ready.ok else words[:_MOST_CHARACTERS]}
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(writing, json.dumps(facts).encode() + b"\n")
        time.sleep(EVERY_S)


class Reports:
    """What one process says of itself, as its fleet hears it.

    Attributes:
        writing: The process's end of the pipe; to be inherited, and closed by ``begun``.
        heard: Whether it has said anything yet.
    """

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        os.set_blocking(self._reading, False)
        self._buffer = b""
        self.heard = False
        self._alive = True
        self._wrong = "starting"
        self._silent_s = self._hung_s = 0.0
        self._looked_at = time.monotonic()

    def begun(self) -> None:
        """The process has its end."""
        os.close(self.writing)

    def close(self) -> None:
        """Lets go of the pipe; the process has ended."""
        os.close(self._reading)

    def look(self, now: float) -> None:
        """Takes in what has come.

        Time counts only as far as somebody looked: where all of a machine stood still, or the
        fleet itself, the process is not held to have been silent.
        """
        step_s = min(now - self._looked_at, _LONGEST_STEP_S)
        self._looked_at = now
        *lines, self._buffer = (self._buffer + self._read()).split(b"\n")
        self._silent_s = 0.0 if lines else self._silent_s + step_s
        if lines:
            facts = json.loads(lines[-1])
            self.heard, self._alive, self._wrong = True, facts["alive"], facts["wrong"]
        self._hung_s = 0.0 if self._alive else self._hung_s + step_s

    def wrong(self) -> str:
        """What stands in the way of its work; empty if nothing does."""
        if self.heard and self._silent_s > _SILENT_S:
            return f"no word from its process for {self._silent_s:.0f} s"
        return self._wrong

    def hung(self, hang_s: float) -> str:
        """Why only starting it again helps; empty if it is alive.

        Args:
            hang_s: A process that says nothing for so long has hung; before its first word it
                has as long as a start may take.
        """
        if not self._alive and self._hung_s > _HUNG_S:
            return self._wrong
        is_silent = self._silent_s > (hang_s if self.heard else max(hang_s, START_S))
        return f"no word from its process for {self._silent_s:.0f} s" if is_silent else ""

    def _read(self) -> bytes:
        try:
            return os.read(self._reading, 65536)
        except BlockingIOError:
            return b""
