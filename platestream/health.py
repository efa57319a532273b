"""Whether a service is alive, and whether it is ready: what it says of itself, and by when.

Alive: its main loop has made progress lately; if not, only starting it again helps. Ready: it
does its work now; if not, something it needs is missing, and it will go on by itself.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

START_S = 120.0
"""How long a service may take until its first sign of life: networks are loaded and compiled."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer with its reasons; one that is good may have some too, such as ``starting``."""

    ok: bool
    reasons: tuple[str, ...] = ()


class Health:
    """Signs of life, and what stands in the way of work. Safe to use from any thread."""

    def __init__(self, hang_s: float) -> None:
        """Begins as ``starting``: alive, not ready.

        Args:
            hang_s: A loop that gives no sign of life for so long has hung.
        """
        now = time.monotonic()
        self._hang_s = hang_s
        self._last_sign = now
        self._started = False
        self._began = now
        self._redis_away_at: float | None = None
        self._redis_away = ""
        self._missing: dict[str, str] = {}
        self._delivery: tuple[float, float] | None = None

    def alive(self) -> None:
        """A sign of life from the main loop; the first one ends the start."""
        self._last_sign = time.monotonic()
        self._started = True

    def begin(self) -> None:
        """Begins anew as ``starting``: the next sign of life may take as long as the first one."""
        self._started = False
        self._began = time.monotonic()

    def redis_answers(self, answers: bool, away: str = "Redis does not answer") -> None:
        """Notes whether Redis answers: a loop that waits for it has not hung.

        Args:
            away: Why it does not serve, for people.
        """
        if not answers:
            self._redis_away_at = time.monotonic()
        self._redis_away = "" if answers else away

    def not_ready(self, reason: str, about: str = "") -> None:
        """Says what stands in the way of work, until ``ready`` is called with the same ``about``.

        Args:
            reason: A sentence for people, such as ``no room on disk for '/video/gate-1.mp4'``.
            about: Keeps several reasons apart: ``disk``, ``camera``.
        """
        self._missing[about] = reason

    def ready(self, about: str = "") -> None:
        """Says that what stood in the way is gone."""
        self._missing.pop(about, None)

    def delivered(self, within_s: float | None) -> None:
        """A frame has come; the next is due within so many seconds (None: whenever it likes)."""
        self._delivery = None if within_s is None else (time.monotonic(), within_s)

    def is_alive(self) -> Verdict:
        """Whether the main loop has made progress lately, or waits for a reason that is known."""
        now = time.monotonic()
        if not self._started:
            late = now - self._began > START_S
            return Verdict(not late, (f"starting, for {now - self._began:.0f} s now",))
        idle_s = now - max(self._last_sign, self._redis_away_at or 0.0)
        if idle_s > self._hang_s:
            return Verdict(False, (f"no progress for {now - self._last_sign:.0f} s",))
        if self._redis_away:
            return Verdict(True, (f"{self._redis_away}; waiting for it",))
        return Verdict(True)

    def is_ready(self) -> Verdict:
        """Whether it is alive and nothing stands in the way of its work."""
        alive = self.is_alive()
        reasons = [] if alive.ok and self._started else list(alive.reasons)
        reasons += self._missing.copy().values()
        if self._delivery is not None:
            last, within_s = self._delivery
            silent_s = time.monotonic() - last
            if silent_s > within_s:
                reasons.append(f"no frame for {silent_s:.0f} s")
        return Verdict(self._started and alive.ok and not reasons, tuple(reasons))
