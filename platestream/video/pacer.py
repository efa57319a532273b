"""A file at the speed of a camera."""

from __future__ import annotations

import time


class Pacer:
    """Releases frames no sooner than their time, as a camera would."""

    def __init__(self) -> None:
        self._began: float | None = None

    def wait(self, pts_s: float) -> None:
        """Sleeps until ``pts_s`` seconds after the first call's."""
        now = time.monotonic()
        if self._began is None:
            self._began = now - pts_s
        delay = self._began + pts_s - now
        if delay > 0:
            time.sleep(delay)
