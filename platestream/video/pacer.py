"""A file at the speed of a camera."""

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
