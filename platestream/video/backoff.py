"""Pauses between tries that grow, and differ."""

from __future__ import annotations

import random

_FIRST_S = 0.5
_STEADY_S = 10.0


class Backoff:
    """How long to wait before a lost source is tried again."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._tries = 0

    def pause_s(self, lasted_s: float) -> float:
        """The next pause, in seconds: twice the last one, up to the longest, less a random part.

        The random part, up to a half, keeps many cameras behind one switch from coming back all
        at once.

        Args:
            lasted_s: How long the source gave frames before it was lost; one that is lost again
                at once is not worth trying fast.
        """
        if lasted_s >= _STEADY_S:
            self._tries = 0
        ceiling = min(self._longest_s, _FIRST_S * float(2**self._tries))
        self._tries = min(self._tries + 1, 20)
        return random.uniform(0.5, 1.0) * ceiling
