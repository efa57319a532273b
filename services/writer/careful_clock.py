"""The clock that files are old by: one that was set ahead does not make them so."""

from __future__ import annotations

import time
from dataclasses import dataclass

from platestream.clock import now_ms

_STEP_MS = 60_000  # between two looks; less is a clock that is brought right slowly


@dataclass
class _Setting:
    """The wall clock between two times that it was set: how far ahead of the monotonic one."""

    ahead_ms: int
    until_ms: int  # monotonic


class CarefulClock:
    """Of all settings of the wall clock that a file may have been written by: the earliest.

    The wall clock may be wrong now, or have been so when a file was written: it is set to the
    wrong day by mistake, and a machine whose clock has no battery begins in 1970. A setting counts
    for as long as files are kept: what was written by it has that age by then, by any clock. Of
    settings from before this process nothing is known.
    """

    def __init__(self) -> None:
        """Begins with the clock as it is."""
        steady_ms = _steady_ms()
        self._settings = [_Setting(now_ms() - steady_ms, steady_ms)]

    def look(self, kept_ms: int) -> tuple[int, int]:
        """What the time is at the latest, by any setting.

        Args:
            kept_ms: How long a setting counts after its end.

        Returns:
            Ms since the epoch; and by how many the clock was set ahead (below 0: back) since the
            last look, 0 if it was not.
        """
        steady_ms = _steady_ms()
        ahead_ms = now_ms() - steady_ms
        last = self._settings[-1]
        last.until_ms = steady_ms
        step_ms = ahead_ms - last.ahead_ms
        if abs(step_ms) > _STEP_MS:
            self._settings.append(_Setting(ahead_ms, steady_ms))
        else:
            last.ahead_ms, step_ms = ahead_ms, 0
        self._settings = [s for s in self._settings if steady_ms - s.until_ms <= kept_ms]
        return steady_ms + min(s.ahead_ms for s in self._settings), step_ms


def _steady_ms() -> int:
    return time.monotonic_ns() // 1_000_000
