"""How a camera's process tells its fleet how it does, and what it counts: lines through a pipe."""

from __future__ import annotations

import contextlib
import json
import os
import select
import threading
import time
from collections.abc import Iterator
from typing import Any

import structlog
from prometheus_client.registry import Collector

from platestream.fleet_metrics import Counted, messages
from platestream.health import START_S, Health

VARIABLE = "PLATESTREAM_REPORTS_FD"
"""In the environment of a fleet's process: the end of the pipe that it writes to."""

EVERY_S = 1.0
_SILENT_S = 5.0  # several reports are missing: worth a word
_HUNG_S = 5.0  # said again and again; a process that was suspended may say it once as it wakes
_LONGEST_STEP_S = 1.0
# In JSON none takes more than 12 bytes: a line is shorter than PIPE_BUF.
_MOST_CHARACTERS = 300


@contextlib.contextmanager
def reporting(health: Health, counts: Collector) -> Iterator[None]:
    """Tells the fleet that has started this process, if one has, for as long as the block runs.

    A thread of its own does, every second and at the end, so that nothing that was counted is
    left out.
    """
    said = os.environ.pop(VARIABLE, "")
    if not said:
        yield
        return
    writing = int(said)
    os.set_inheritable(writing, False)
    os.set_blocking(writing, False)  # a fleet that stands still holds nobody up
    ended = threading.Event()
    arguments = (health, counts, writing, ended)
    thread = threading.Thread(target=_report, args=arguments, name="reports", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(EVERY_S)


def _report(health: Health, counts: Collector, writing: int, ended: threading.Event) -> None:
    is_last = False
    while True:
        _send(writing, _how_it_does(health))
        for message in messages(counts):
            _send(writing, message)
        if is_last:
            return
        is_last = ended.wait(EVERY_S)


def _how_it_does(health: Health) -> dict[str, Any]:
    alive, ready = health.is_alive(), health.is_ready()
    words = "; ".join(ready.reasons if alive.ok else alive.reasons)
    return {"alive": alive.ok, "wrong": "" if ready.ok else words[:_MOST_CHARACTERS]}


def _send(writing: int, message: dict[str, Any]) -> None:
    """Sends a line as a whole or, where a fleet does not listen, not at all."""
    line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
    if len(line) <= select.PIPE_BUF:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(writing, line)


class Reports:
    """What one process says of itself, as its fleet hears it.

    Attributes:
        writing: The process's end of the pipe; to be inherited, and closed by ``begun``.
        heard: Whether it has said anything yet.
    """

    def __init__(self, counted: Counted) -> None:
        """Opens the pipe.

        Args:
            counted: Takes up what the process counts.

        Raises:
            OSError: No more files may be open.
        """
        self._reading, self.writing = os.pipe()
        os.set_blocking(self._reading, False)
        self._buffer = b""
        self._counted = counted
        self.heard = False
        self._alive = True
        self._wrong = "starting"
        self._silent_s = self._hung_s = 0.0
        self._looked_at = time.monotonic()

    def begun(self) -> None:
        """The process has its end."""
        os.close(self.writing)

    def close(self) -> None:
        """Takes in what came last, and lets go of the pipe; the process has ended."""
        self._take()
        os.close(self._reading)

    def look(self, now: float) -> None:
        """Takes in what has come.

        Time counts only as far as somebody looked: where all of a machine stood still, or the
        fleet itself, the process is not held to have been silent.
        """
        step_s = min(now - self._looked_at, _LONGEST_STEP_S)
        self._looked_at = now
        heard = self._take()
        self._silent_s = 0.0 if heard else self._silent_s + step_s
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

    def _take(self) -> bool:
        """Takes in what has come; returns whether anything has.

        What makes no sense is left out: a process must not be able to end its fleet.
        """
        heard = False
        *lines, rest = (self._buffer + self._read()).split(b"\n")
        self._buffer = rest[: select.PIPE_BUF]
        for line in lines:
            try:
                message = json.loads(line)
                if "metric" in message:
                    self._counted.take(message)
                else:
                    self._alive, self._wrong = bool(message["alive"]), str(message["wrong"])
                    self.heard = True
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                structlog.get_logger().debug(f"a report that makes no sense: {error!r}")
            else:
                heard = True
        return heard

    def _read(self) -> bytes:
        try:
            return os.read(self._reading, 65536)
        except BlockingIOError:
            return b""
