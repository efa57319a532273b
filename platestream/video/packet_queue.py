"""Packets of a live source between the network and the decoder: never old, never many."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from platestream.video.source import VideoPacket

_MOST_BYTES = 64 * 2**20
_KEY_PATIENCE_S = 30.0  # longer between key frames than any camera: it marks none


@dataclass(frozen=True, slots=True)
class _Waiting:
    packet: VideoPacket
    arrived_ms: int
    arrived_s: float


class PacketQueue:
    """Takes packets off the network in a thread of its own, whatever the decoder does.

    A decoder that is slower than the source would otherwise be further behind every second, with
    the pictures of the past in the buffers of the network. Here packets know when they arrived.
    Once the one to be decoded has waited for too long, all before the newest key frame are let
    go; where there is none, all that come before the next, as without it they cannot be decoded.

    Attributes:
        limit_s: So long a packet may wait.
        arrived_ms, arrived_s: When the packet under way arrived, in ms since the epoch and in
            seconds by the monotonic clock.
    """

    def __init__(self, limit_s: float, stopped: Callable[[], bool] = lambda: False) -> None:
        """Takes nothing yet.

        Args:
            limit_s: So long a packet may wait.
            stopped: Whether to take no more.
        """
        self.arrived_ms = 0
        self.arrived_s = 0.0
        self.limit_s = limit_s
        self._stopped = stopped
        self._changed = threading.Condition()
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._over = False
        self._left = False
        self._failure: Exception | None = None
        self._skipped = 0
        self._skipping_since: float | None = None
        self._let_go_s = 0.0
        self._cut = False

    def through(self, packets: Iterator[VideoPacket]) -> Iterator[VideoPacket | None]:
        """Hands packets on, in order; None before one that does not go on where the last ended.

        Ends, or fails, when ``packets`` has and none waits any more. The thread ends as soon as
        ``packets`` returns to it; so does a generator that is closed.
        """
        thread = threading.Thread(target=self._fill, args=(packets,), name="network", daemon=True)
        thread.start()
        try:
            while (taken := self._next()) is not None:
                cut, one = taken
                self.arrived_ms, self.arrived_s = one.arrived_ms, one.arrived_s
                if cut:
                    yield None
                yield one.packet
            if self._failure is not None:
                raise self._failure
        finally:
            self._left = True
            thread.join()

    @property
    def let_go_s(self) -> float:
        """When the last packet was let go for want of a key frame, by the monotonic clock.

        0 where packets are not let go now.
        """
        with self._changed:
            return self._let_go_s if self._skipping_since is not None else 0.0

    def take_skipped(self) -> int:
        """How many packets, each a frame, were let go since this was last asked."""
        with self._changed:
            skipped, self._skipped = self._skipped, 0
            return skipped

    def _fill(self, packets: Iterator[VideoPacket]) -> None:
        try:
            for packet in packets:
                with self._changed:
                    self._put(_Waiting(packet, time.time_ns() // 1_000_000, time.monotonic()))
                    self._changed.notify_all()
                if self._left or self._stopped():
                    break
        except Exception as error:  # whatever it is, who takes the packets has to know
            self._failure = error
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _put(self, one: _Waiting) -> None:
        if self._skipping_since is not None:
            waited_s = one.arrived_s - self._skipping_since
            if one.packet.size and not one.packet.is_keyframe and waited_s < _KEY_PATIENCE_S:
                self._skipped += 1
                self._let_go_s = one.arrived_s
                return
            self._skipping_since = None
            self._cut = bool(one.packet.is_keyframe)
        self._waiting.append(one)
        self._bytes += one.packet.size
        if self._bytes > _MOST_BYTES:
            self._catch_up()

    def _next(self) -> tuple[bool, _Waiting] | None:
        """The next packet, and whether it is a new beginning; None at the end."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._waiting or self._over)
                if not self._waiting:
                    return None
                late_s = time.monotonic() - self._waiting[0].arrived_s
                if late_s > self.limit_s and not self._over:
                    self._catch_up()
                if self._waiting:
                    one = self._waiting.popleft()
                    self._bytes -= one.packet.size
                    cut, self._cut = self._cut, False
                    return cut, one

    def _catch_up(self) -> None:
        """Lets go of all before the newest key frame; of all, if there is none but the first.

        A key frame that is the first has been caught up to already, or came when decoding was
        under way; it is decoded unless it is twice too late.
        """
        newest = next(
            (n for n in range(len(self._waiting) - 1, -1, -1) if self._is_key(self._waiting[n])),
            None,
        )
        if newest == 0:
            late_s = time.monotonic() - self._waiting[0].arrived_s
            if late_s <= 2 * self.limit_s and self._bytes <= _MOST_BYTES:
                return
            newest = None
        many = len(self._waiting) if newest is None else newest
        for _ in range(many):
            gone = self._waiting.popleft()
            self._bytes -= gone.packet.size
            self._skipped += bool(gone.packet.size)
        self._cut = self._cut or newest is not None
        if newest is None:
            self._skipping_since = self._let_go_s = time.monotonic()

    @staticmethod
    def _is_key(one: _Waiting) -> bool:
        return bool(one.packet.is_keyframe and one.packet.size)
