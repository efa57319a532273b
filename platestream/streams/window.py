"""Back-pressure: a producer waits for its slowest group."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import redis

from platestream.streams.group import ensure_group, first_unfinished
from platestream.streams.keys import end_id

_ROOM_POLL_S = 0.003


class Window:
    """File mode's back-pressure: how far a producer may run ahead of its slowest group."""

    def __init__(
        self, client: redis.Redis, key: str, groups: Sequence[str], frames: int, first: int
    ) -> None:
        """Makes the groups where they are missing, so that none misses the first frame.

        Args:
            frames: How many frames may lie in the stream that some group is not done with.
            first: The first frame id of the recording; a new group waits for none before it.
        """
        self._client = client
        self._key = key
        self._groups = list(groups)
        self._frames = max(1, frames)
        self._lowest = first
        for group in self._groups:
            ensure_group(client, key, group)

    def wait_for_room(self, frame_id: int, stopped: Callable[[], bool]) -> bool:
        """Waits until a frame may be published, and trims what every group is done with.

        Returns:
            False if ``stopped`` said so before there was room.
        """
        while self._groups and frame_id - self._lowest >= self._frames:
            lowest = min(first_unfinished(self._client, self._key, g) for g in self._groups)
            if lowest > self._lowest:
                # an end may lie between the last frame done and the next: it stays
                self._client.xtrim(self._key, minid=end_id(lowest - 1), approximate=False)
                self._lowest = lowest
            elif stopped():
                return False
            else:
                time.sleep(_ROOM_POLL_S)
        return True
