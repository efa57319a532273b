"""Back-pressure: a producer waits for its slowest group."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from platestream.streams.budget import EntrySizes
from platestream.streams.connection import Client, StreamsLostError
from platestream.streams.group import (
    ensure_group,
    first_unfinished,
    idle_s,
    lowest_unfinished,
    oldest_id,
)
from platestream.streams.keys import end_id, frame_id_of

_POLL_S = (0.001, 0.03)  # shortest and longest pause between two looks for room
_SPARE = 4  # who found no room waits until a fourth of the window is free: half as many looks


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
        self._frame_s = _POLL_S[0]  # how long the slowest group takes for a frame, about
        self._looked_at = time.monotonic()
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
        spare = 0
        while self._groups and not self._has_room(frame_id, weight, spare):
            spare = self.frames // _SPARE
            lowest = lowest_unfinished(self._client, self._key, self._groups)
            if lowest < self._seen:
                raise StreamsLostError(f"Redis has lost {self._key}")
            self._seen = lowest
            if lowest > self.lowest:
                self._note_pace(lowest - self.lowest)
                # an end may lie between the last frame done and the next: it stays
                self._client.xtrim(self._key, minid=end_id(lowest - 1), approximate=False)
                self.lowest = lowest
                self._sizes.drop_before(lowest)
            elif stopped():
                return False
            else:
                self._pause(frame_id - self.lowest - (self.frames - spare) + 1)
        if weight:
            self.note(frame_id, weight)
        return True

    def note(self, frame_id: int, weight: int) -> None:
        """Notes what the frame that there is room for takes of the budget."""
        self._sizes.forget_from(frame_id)
        self._sizes.add(frame_id, weight)

    def slowest(self) -> dict[str, float]:
        """The groups that are not done with ``lowest``, and for how long nobody asked for more.

        Returns:
            By group seconds; infinite where nobody has ever asked.
        """
        return {
            group: idle_s(self._client, self._key, group)
            for group in self._groups
            if first_unfinished(self._client, self._key, group) <= self.lowest
        }

    def _note_pace(self, frames: int) -> None:
        now = time.monotonic()
        self._frame_s = (self._frame_s + (now - self._looked_at) / frames) / 2
        self._looked_at = now

    def _pause(self, frames: int) -> None:
        """Waits for about as long as the slowest group takes for so many frames."""
        time.sleep(min(max(self._frame_s * frames, _POLL_S[0]), _POLL_S[1]))

    def _has_room(self, frame_id: int, weight: int, spare: int) -> bool:
        if frame_id - self.lowest >= max(1, self.frames - spare):
            return False
        if self._budget is None or self._sizes.bytes + weight <= self._budget:
            return True
        # one more than is under way must pass, however large: a group may be done with a frame
        # only when it holds the next
        return frame_id - self.lowest < 2
