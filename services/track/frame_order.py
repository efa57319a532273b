"""Readings put into frame order: replicas finish in whatever order they do."""

from __future__ import annotations

from dataclasses import dataclass

from platestream.messages import Reading


@dataclass(frozen=True, slots=True)
class Ordered:
    """A reading in its turn, and the stream entry that it came in."""

    reading: Reading
    stream_id: str


@dataclass(frozen=True, slots=True)
class _Waiting:
    ordered: Ordered
    since_s: float


class FrameOrder:
    """Holds readings until none of an earlier frame can come any more.

    That is known exactly: OCR publishes readings and acknowledges their frames in one
    transaction, so every frame before the first one that its group is not done with either has
    its reading in the stream or will never have one (it was skipped, or is dead). A frame that a
    crashed replica holds would keep the others waiting; therefore no more than ``limit`` readings
    wait, and in live mode none for longer than ``patience_s``.

    Attributes:
        last_frame_id: The last frame let through; a reading of it or an earlier one is late.
    """

    def __init__(self, limit: int, last_frame_id: int = 0) -> None:
        self._limit = limit
        self._waiting: dict[int, _Waiting] = {}
        self.last_frame_id = last_frame_id

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, reading: Reading, stream_id: str, now_s: float) -> bool:
        """Takes a reading in.

        Args:
            now_s: By a clock that is never set back.

        Returns:
            False if it is of no use: its frame is there already, or its turn has passed.
        """
        if reading.frame_id <= self.last_frame_id or reading.frame_id in self._waiting:
            return False
        self._waiting[reading.frame_id] = _Waiting(Ordered(reading, stream_id), now_s)
        return True

    def take(self, before: int, now_s: float, patience_s: float | None = None) -> list[Ordered]:
        """Lets readings through, in order.

        Args:
            before: No reading of an earlier frame than this is still to come.
            patience_s: Those that have waited for longer go too, and all of earlier frames.
        """
        ids = sorted(self._waiting)
        until = before
        if len(ids) > self._limit:
            until = max(until, ids[-self._limit])
        if patience_s is not None:
            tired = [i for i in ids if now_s - self._waiting[i].since_s >= patience_s]
            until = max([until, *(i + 1 for i in tired)])
        taken = [self._waiting.pop(i).ordered for i in ids if i < until]
        if taken:
            self.last_frame_id = taken[-1].reading.frame_id
        return taken
