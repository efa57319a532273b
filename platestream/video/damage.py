"""How many frames of a live source came damaged: found by what the decoder makes of packets."""

from __future__ import annotations

from typing import Protocol

_MOST_WAITING = 1024  # packets without a picture yet; a decoder holds a few back for their order


class Stamped(Protocol):
    """A packet or a frame: its time stamp in the stream's clock, and whether it is marked."""

    @property
    def pts(self) -> int | None:
        """None where the source gives none."""

    @property
    def is_corrupt(self) -> bool:
        """Whether the demuxer or the decoder says that it is damaged."""


class Damage:
    """Compares the packets that a decoder was given with the pictures that it gave.

    Pictures come in the order of their time stamps. A packet whose picture has not come when one
    with a later stamp does has none: the decoder says nothing of those that it cannot decode. Left
    alone is what comes before the first picture, as without a key frame there is none, and
    interlaced video, where two packets may make one picture.

    What is not seen: packets that never came, or whose headers were destroyed; and damage that
    is marked by nobody and that the decoder conceals.

    Attributes:
        lost: How many packets gave no picture.
        marred: How many pictures came of packets, or are themselves, marked as damaged.
    """

    def __init__(self) -> None:
        self.lost = 0
        self.marred = 0
        self._waiting: dict[int, bool] = {}  # time stamp: whether the packet is marked
        self._last: int | None = None
        self._depth = 0  # most packets that waited though nothing was lost: they are reordered
        self._interlaced = False

    def fed(self, packet: Stamped) -> None:
        """The decoder is given a packet; ``gave`` and ``failed`` say what came of it."""
        pts = packet.pts
        if pts is None:
            self.marred += packet.is_corrupt
        elif self._last is None or pts > self._last:  # else it is before the first key frame
            self._waiting[pts] = packet.is_corrupt
            if len(self._waiting) > _MOST_WAITING:
                del self._waiting[next(iter(self._waiting))]

    def failed(self, packet: Stamped) -> None:
        """The decoder has refused a packet."""
        if packet.pts is not None:
            self._waiting.pop(packet.pts, None)
        self.lost += self._last is not None or packet.pts is None

    def gave(self, frame: Stamped, *, interlaced: bool) -> None:
        """The decoder has given a picture."""
        pts = frame.pts
        self._interlaced = self._interlaced or interlaced
        if pts is None:
            self.marred += frame.is_corrupt
            return
        known = pts in self._waiting  # else the decoder has stamps of its own, which say nothing
        self.marred += self._waiting.pop(pts, False) or frame.is_corrupt
        if self._last is None or pts <= self._last:  # the first, or the stamps have jumped back
            self._waiting = {one: marked for one, marked in self._waiting.items() if one > pts}
        else:
            gone = [one for one in self._waiting if one < pts]
            for one in gone:
                del self._waiting[one]
            self.lost += len(gone) if known and not self._interlaced else 0
            if not gone:
                self._depth = max(self._depth, len(self._waiting))
        self._last = pts

    def cut(self, *, flushed: bool) -> None:
        """What comes next does not go on from here.

        Args:
            flushed: Whether the decoder has given all that it had; if not, as many packets as it
                has held back before are taken to be held back now.
        """
        held = 0 if flushed else self._depth
        if self._last is not None and not self._interlaced:
            self.lost += max(0, len(self._waiting) - held)
        self._waiting, self._last = {}, None
