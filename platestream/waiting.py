"""A producer that waits for its groups: for which of them, and whether anybody is there."""

from __future__ import annotations

import time

from platestream import streams
from platestream.runtime import Session

LONG_S = 30.0
"""A group that is done with no frame for so long is named: OCR's networks load in less."""

_MISSING_S = 30.0  # a group as which nobody has asked for so long has nobody in it
_LOOK_S = 5.0
_REMIND_S = 60.0


class Waiting:
    """Says for whom a producer waits, where that takes long; once a minute.

    A slow group is nothing but slow. Where nobody has asked for a group's frames for long, the
    service is not ready, either.
    """

    def __init__(self, session: Session, window: streams.Window) -> None:
        self._session = session
        self._window = window
        self._lowest = 0  # the oldest frame that is waited for
        self._since = self._next_look = 0.0
        self._said_at = -_REMIND_S

    def begin(self) -> None:
        """Begins to wait for room for one frame."""
        self._lowest = 0

    def stopped(self) -> bool:
        """Whether the session is, asked between two looks for room."""
        now = time.monotonic()
        if self._window.lowest != self._lowest:
            self._lowest, self._since = self._window.lowest, now
            self._next_look = now + LONG_S
            self._session.ready("room")
        elif now >= self._next_look:
            self._next_look = now + _LOOK_S
            self._look(now)
        return self._session.stopped()

    def over(self) -> None:
        """There is room, or it is no longer waited for."""
        if self._lowest:
            self._session.ready("room")

    def _look(self, now: float) -> None:
        groups = self._window.slowest()
        missing = [group for group, idle_s in groups.items() if idle_s >= _MISSING_S]
        said = (
            f"{' and '.join(groups)} not done with frame {self._lowest} "
            f"for {now - self._since:.0f} s now"
        )
        if missing:
            asked = max(groups[group] for group in missing)
            since = "yet" if asked == float("inf") else f"for {asked:.0f} s"
            said += f"; nobody has asked for frames as {' or '.join(missing)} {since}"
            said += ": is it running?"
            self._session.not_ready(said, "room")
        if groups and now - self._said_at >= _REMIND_S:
            self._said_at = now
            self._session.log.warning(f"waiting for room: {said}")
