"""Time stamps as sources give them, made into times that rise."""

from __future__ import annotations

# MPEG-TS counts 90,000ths of a second in 33 bits (ISO/IEC 13818-1), RTP video in 32 (RFC 3550)
WRAPS_S = (2**33 / 90_000, 2**32 / 90_000)

LIVE_GAP_S = 10.0
FILE_GAP_S = 600.0
_BACK_S = 1.0
_LEAST_STEP_S = 0.0005


class Timestamps:
    """Places frames in time: the source's own differences where they can be true.

    What comes out begins at 0 (or where the clock is) and rises. A stamp that is missing or does
    not rise is replaced by the nominal rate's. Where stamps jump (back by more than a second, or
    forward by more than a gap that can be true), the times go on from where they were: a counter
    that wrapped exactly, else by the clock, else at the nominal rate.

    Attributes:
        jumps: How often the stamps have jumped.
    """

    def __init__(self, step_s: float, *, longest_gap_s: float = FILE_GAP_S) -> None:
        """Begins before the first frame.

        Args:
            step_s: Seconds between frames at the nominal rate.
            longest_gap_s: A longer pause between two frames is no pause but a jump, unless the
                clock says that so much time has passed.
        """
        self.step_s = step_s
        self.jumps = 0
        self._gap_s = longest_gap_s
        self._last: float | None = None
        self._clock: float | None = None
        self._offset: float | None = None

    def restart(self) -> None:
        """The next stamp has nothing to do with those before: the source was opened again."""
        self._offset = None

    def place(self, stamp_s: float | None, clock_s: float | None = None) -> float:
        """The time of the next frame, in seconds; greater than the one before.

        Args:
            stamp_s: The source's own stamp, in seconds from anywhere; None where it gives none.
            clock_s: Live: when the frame came, in seconds from the beginning of the recording.
        """
        placed = self._placed(stamp_s, clock_s)
        self._last, self._clock = placed, clock_s
        return placed

    def _placed(self, stamp_s: float | None, clock_s: float | None) -> float:
        last = self._last
        if last is None:
            due = max(0.0, clock_s or 0.0)
        elif stamp_s is None and clock_s is not None:
            return max(last + _LEAST_STEP_S, clock_s)
        else:
            due = max(last + self.step_s, clock_s or 0.0)
        if stamp_s is None:
            return due
        if self._offset is None or last is None:
            self._offset = due - stamp_s
            return due
        placed = stamp_s + self._offset
        if not self._jumps(placed, last, clock_s):
            return placed if placed >= last + _LEAST_STEP_S else last + self.step_s
        for wrap_s in WRAPS_S:
            if last < placed + wrap_s and not self._jumps(placed + wrap_s, last, clock_s):
                self._offset += wrap_s
                return placed + wrap_s
        self.jumps += 1
        self._offset = due - stamp_s
        return due

    def _jumps(self, placed: float, last: float, clock_s: float | None) -> bool:
        passed = max(0.0, clock_s - self._clock) if clock_s and self._clock is not None else 0.0
        return placed < last - _BACK_S or placed > last + passed + self._gap_s
