"""A replica's presence in the pool: how slow its batches are, and after what time others claim.

The time adapts to the slowest batch of all replicas that live. A batch counts while it is under
way: its replica says every half a second how long it has been at it, so that even the first slow
batch is not claimed from a replica that works on it, while one that is stopped or dead says no
more and is claimed from.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from platestream import streams

CLAIM_FACTOR = 3.0  # times the slowest batch: its time is known with half a second's delay
MOST_CLAIM_AFTER_MS = 60_000  # a replica that hangs, but lives, is claimed from after so long
_ANNOUNCE_S = 0.5
_REMEMBERED_S = 60.0


class Presence:
    """What a replica says of itself to the pool, and hears from the others."""

    def __init__(self, client: streams.Client, name: str) -> None:
        self._client = client
        self._name = name
        self._batches: deque[tuple[float, float]] = deque(maxlen=256)  # when it ended, seconds
        self._began: float | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._announce, daemon=True)
        self.living: dict[str, int] = {}

    def start(self) -> None:
        """Announces the replica once, and from then on in a thread of its own.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        self.living = streams.announce_replica(self._client, self._name, self.slowest_ms())
        self._thread.start()

    def stop(self) -> None:
        """Takes the replica out of the pool's list."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        with contextlib.suppress(*streams.FAILURE):
            streams.forget_replica(self._client, self._name)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Takes the time of a batch."""
        self._began = time.monotonic()
        try:
            yield
        finally:
            now = time.monotonic()
            self._batches.append((now, now - self._began))
            self._began = None

    def slowest_ms(self) -> int:
        """The longest batch of the last minute, in ms; the one under way counts as it stands."""
        now, began = time.monotonic(), self._began
        durations = [took for ended, took in list(self._batches) if now - ended < _REMEMBERED_S]
        if began is not None:
            durations.append(now - began)
        return round(1000 * max(durations, default=0.0))

    def claim_after_ms(self, least_ms: int) -> int:
        """After what time frames are taken over from another replica."""
        slowest = max(self.living.values(), default=0)
        return max(least_ms, min(round(CLAIM_FACTOR * slowest), MOST_CLAIM_AFTER_MS))

    def _announce(self) -> None:
        while not self._stopping.wait(_ANNOUNCE_S):
            with contextlib.suppress(*streams.FAILURE):  # the service itself waits for Redis
                self.living = streams.announce_replica(self._client, self._name, self.slowest_ms())
