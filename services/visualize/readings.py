"""The readings that visualize knows: which of them is the latest for a frame."""

from __future__ import annotations

from bisect import bisect_right, insort

from platestream.messages import Reading

_KEPT = 512  # some 20 s at 25 fps: far more than any reading that is still drawn


class LatestReading:
    """Keeps recent readings by frame, in whatever order they come."""

    def __init__(self, stale_after_ms: int) -> None:
        self._stale_after_ms = stale_after_ms
        self._ids: list[int] = []
        self._readings: dict[int, Reading] = {}

    def add(self, reading: Reading) -> None:
        """Takes a reading in; a second one of the same frame replaces the first."""
        if reading.frame_id not in self._readings:
            insort(self._ids, reading.frame_id)
        self._readings[reading.frame_id] = reading
        while len(self._ids) > _KEPT:
            del self._readings[self._ids.pop(0)]

    def for_frame(self, frame_id: int, captured_at_ms: int) -> tuple[Reading, int] | None:
        """The newest reading of this frame or an earlier one, and its age in ms.

        Returns:
            None if there is none, or it is too old to be drawn.
        """
        at = bisect_right(self._ids, frame_id) - 1
        if at < 0:
            return None
        reading = self._readings[self._ids[at]]
        age_ms = max(0, captured_at_ms - reading.captured_at_ms)
        return (reading, age_ms) if age_ms <= self._stale_after_ms else None
