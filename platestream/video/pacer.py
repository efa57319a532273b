"""A file at the speed of a camera, and a camera that sends in bursts at its own."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pacer:
    """Releases frames no sooner than their time, as a camera would."""

    def __init__(self, sleep: Callable[[float], object] = time.sleep) -> None:
        """Begins with the first frame.

        Args:
            sleep: How to wait, in seconds; an event's ``wait`` makes it one that can be ended.
        """
        self._sleep = sleep
        self._began: float | None = None

    def is_late(self, pts_s: float) -> bool:
        """Whether a frame's time has passed; before the first call of ``wait`` none has."""
        return self._began is not None and time.monotonic() > self._began + pts_s

    def wait(self, pts_s: float) -> None:
        """Sleeps until ``pts_s`` seconds after the first call's."""
        now = time.monotonic()
        if self._began is None:
            self._began = now - pts_s
        delay = self._began + pts_s - now
        if delay > 0:
            self._sleep(delay)


class BurstPacer:
    """Releases what comes in pieces of some seconds at its own speed, as soon as that can be.

    Each frame has the distance from the one before that its time stamp says. A piece that comes
    late moves all that follows, so that in the end frames wait for no longer than pieces vary.
    """

    def __init__(self, longest_s: float, sleep: Callable[[float], object] = time.sleep) -> None:
        """Begins with the first frame.

        Args:
            longest_s: So long at most a frame is held back after it came.
            sleep: How to wait, in seconds.
        """
        self._longest_s = longest_s
        self._sleep = sleep
        self._offset = -float("inf")

    def wait(self, pts_s: float, arrived_s: float) -> None:
        """Sleeps until it is a frame's turn.

        Args:
            pts_s: Its time, in seconds from anywhere; rises.
            arrived_s: When it came, by the monotonic clock.
        """
        now = time.monotonic()
        due = max(now, min(self._offset + pts_s, arrived_s + self._longest_s))
        self._offset = due - pts_s
        if due > now:
            self._sleep(due - now)
