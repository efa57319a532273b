"""Log lines that repeat themselves: the first at once, then how many more there were.

A damaged camera, or entries that are not ours, bring a warning for every frame: 30 a second, for
weeks. What differs in nothing but numbers, or in what follows the first colon, is of one kind.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import structlog

WINDOW_S = 60.0
COUNTED = "counted"
"""In a line of ``due``: it is not counted again."""

_AT_ONCE = {"warning": 3, "error": 3, "critical": 3, "info": 30}  # of a kind, in a window
_MOST_KINDS = 500
_OTHERS = ("", "", "")
_VARYING = re.compile(r"\b(?:0x)?[0-9a-f]{8,}\b|\d+")
_LONGEST = 200  # characters that tell a kind

Event = MutableMapping[str, Any]
Kind = tuple[str, str, str]


@dataclass(slots=True)
class _Repeated:
    """Lines of a kind since the window began, and the last of them that was left out."""

    began: float
    said: int = 0
    left_out: int = 0
    last: dict[str, Any] = field(default_factory=dict)


class Seldom:
    """A structlog processor that lets few lines of a kind through in a minute, and counts the rest.

    Lines for debugging all pass, and so does what a service says before it ends (``fatal``).
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Args: clock: Seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._kinds: dict[Kind, _Repeated] = {}

    def __call__(self, _logger: object, method: str, event: Event) -> Event:
        """Passes a line on, or raises ``structlog.DropEvent``."""
        if event.pop(COUNTED, False):
            return event
        level = str(event.get("level", method))
        at_once = _AT_ONCE.get(level)
        if at_once is None or event.get("fatal"):
            return event
        with self._lock:
            now = self._clock()
            kind = self._kind(level, event, now)
            lines = self._kinds.get(kind)
            if lines is None:
                lines = self._kinds[kind] = _Repeated(now)
            elif now - lines.began >= WINDOW_S:
                if lines.left_out:
                    event["event"] = f"{event['event']}{_count(lines, now)}"
                lines = self._kinds[kind] = _Repeated(now)
            if lines.said < at_once:
                lines.said += 1
                return event
            lines.left_out += 1
            lines.last = {name: value for name, value in event.items() if name != "exc_info"}
        raise structlog.DropEvent

    def due(self, *, all_of_them: bool = False) -> list[tuple[str, dict[str, Any]]]:
        """What is to be said of lines that were left out and nothing has followed.

        Args:
            all_of_them: Those of the last minute, too: nothing more will come.

        Returns:
            The level, and a line with ``event``, all else that the last one had, and ``COUNTED``.
        """
        with self._lock:
            now = self._clock()
            over = [
                (kind, lines)
                for kind, lines in self._kinds.items()
                if all_of_them or now - lines.began >= WINDOW_S
            ]
            said = []
            for kind, lines in over:
                del self._kinds[kind]
                if lines.left_out:
                    text = f"{lines.last['event']}{_count(lines, now, itself=1)}"
                    line = {**lines.last, "event": text, COUNTED: True}
                    said.append((str(line.pop("level")), line))
            return said

    def forget(self) -> None:
        """Begins anew, in a process that was forked off."""
        with self._lock:
            self._kinds.clear()

    def _kind(self, level: str, event: Event, now: float) -> Kind:
        text = str(event.get("event", "")).partition(": ")[0][:_LONGEST]
        kind = (level, str(event.get("camera", "")), _VARYING.sub("#", text))
        if kind in self._kinds or len(self._kinds) < _MOST_KINDS:
            return kind
        for old, lines in list(self._kinds.items()):
            if now - lines.began >= WINDOW_S and not lines.left_out:
                del self._kinds[old]
        return kind if len(self._kinds) < _MOST_KINDS else _OTHERS


def _count(lines: _Repeated, now: float, itself: int = 0) -> str:
    more = lines.left_out - itself
    return f" (and {more:,} more like it in {now - lines.began:.0f} s)" if more else ""
