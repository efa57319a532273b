"""Back-pressure: a producer waits for its slowest group."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from platestream.streams.budget import EntrySizes
from platestream.streams.connection import Client, StreamsLostError
from platestream.streams.group import ensure_group, lowest_unfinished, oldest_id
from platestream.streams.keys import end_id, frame_id_of

_ROOM_POLL_S = 0.003


class Window:
    """File mode's back-pressure: how far a producer may run ahead of its slowest group.

    Attributes:
        frames: How many frames may lie in the stream that some group is not done with.
        lowest: The oldest frame that some group is not done with, as far as is known.
    """

    def __init__(
        self,
        client: Client,
        key: str,
        groups: Sequence[str],
        frames: int,
        first: int,
        budget_bytes: int | None = None,
    ) -> None:
        """Makes the groups where they are missing, so that none misses the first frame.

        Args:
            first: The first frame id of the recording. What an earlier recording left in the
                stream is waited for too.
            budget_bytes: Most that the frames in it may take; none: count alone.
        """
        self._client = client
        self._key = key
        self._groups = list(groups)
        self._budget = budget_bytes
        self.frames = frames
        for group in self._groups:
            ensure_group(client, key, group)
        self._sizes = EntrySizes(client, key, budget_bytes or 0)
        oldest = oldest_id(client, key, "+")
        self._seen = 0
        self.lowest = first if oldest is None else min(first, frame_id_of(oldest))

    def wait_for_room(self, frame_id: int, stopped: Callable[[], bool], weight: int = 0) -> bool:
        """Waits until a frame may be published, and trims what every group is done with.

        Args:
            weight: What it takes of the budget, once it is known: ``held_bytes`` of its size.

        Returns:
            False if ``stopped`` said so before there was room.

        Raises:
            StreamsLostError: A group is not as far as it was: it is a new one.
        """
        while self._groups and not self._has_room(frame_id, weight):
            lowest = lowest_unfinished(self._client, self._key, self._groups)
            if lowest < self._seen:
                raise StreamsLostError(f"Redis has lost {self._key}")
            self._seen = lowest
            if lowest > self.lowest:
                # an end may lie between the last frame done and the next: it stays
                self._client.xtrim(self._key, minid=end_id(lowest - 1), approximate=False)
                self.lowest = lowest
                self._sizes.drop_before(lowest)
            elif stopped():
                return False
            else:
                time.sleep(_ROOM_POLL_S)
        if weight:
            self._sizes.forget_from(frame_id)
            self._sizes.add(frame_id, weight)
        return True

    def _has_room(self, frame_id: int, weight: int) -> bool:
        if frame_id - self.lowest >= max(1, self.frames):
            return False
        if self._budget is None or self._sizes.bytes + weight <= self._budget:
            return True
        # one more than is under way must pass, however large: a group may be done with a frame
        # only when it holds the next
        return frame_id - self.lowest < 2
