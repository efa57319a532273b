"""A live source, read in a thread of its own that never waits for whoever takes its frames."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from av.video.frame import VideoFrame

from platestream.errors import SourceError
from platestream.masking import mask
from platestream.picture import Picture
from platestream.process_limit import ProcessLimitError, is_reached
from platestream.video.container import StalledError
from platestream.video.pacer import BurstPacer, Pacer
from platestream.video.packet_queue import PacketQueue
from platestream.video.source import Through, VideoSource, to_picture
from platestream.video.source_options import BETWEEN_PIECES
from platestream.video.timestamps import Timestamps
from platestream.video.trust import Trust

_GRACE_S = 1.0  # FFmpeg's own limit comes first, so that the thread lets go of the source itself
_BEGINNING = 3  # times timeout_s: opening has several steps, and a key frame may be far
_LETTING_GO_S = 1.0
_BURST = 10  # times lag_s: a piece of a source in bursts comes at once, and is decoded in turn
_HELD = 8  # times lag_s: so long its frames may wait for their turn


@dataclass(frozen=True, slots=True)
class LiveFrame:
    """A decoded frame of a live source.

    Attributes:
        stamp_s: The source's own time stamp, seconds from anywhere; None where there is none.
        arrived_ms: When the packet came that completed it, ms since the epoch; where frames wait
            for their turn (``LiveReader._pacing``), when it was that.
        arrived_s: The same by the monotonic clock, in seconds.
    """

    decoded: VideoFrame
    stamp_s: float | None
    arrived_ms: int
    arrived_s: float

    def picture(self) -> Picture:
        """The picture, to be read only; made when it is asked for: who skips it needs none."""
        return to_picture(self.decoded)


class LiveReader:
    """One connection to a live source: opened, read and decoded in a thread.

    Frames wait in a short queue. Whoever takes them too slowly finds the newest only: when the
    queue is full it is emptied. A decoder that is too slow for the source finds, as soon as it is
    too late, the newest key frame (``PacketQueue``). So neither queue nor the buffers of the
    network behind them hold pictures of the past.

    Attributes:
        rate: Nominal frames per second, once a frame has come.
    """

    def __init__(
        self,
        source: str,
        *,
        rtsp_transport: str,
        timeout_s: float,
        backlog_frames: int,
        lag_s: float,
        after_s: float | None = None,
        trust: Trust | None = None,
    ) -> None:
        """Begins to open the source.

        Args:
            timeout_s: So long without a frame is a stall.
            backlog_frames: How many frames may wait to be taken.
            lag_s: How late frames may be decoded.
            after_s: Frames up to this time stamp have been taken already, and are passed over if
                the source is a file.
            trust: As for ``options_for``.
        """
        self.name = mask(source)
        self.rate = Fraction(25)
        self._source = source
        self._transport = rtsp_transport
        self._trust = trust
        self._timeout_s = timeout_s
        self._backlog = backlog_frames
        self._lag_s = lag_s
        self._after_s = after_s
        self._packet_queue: PacketQueue | None = None
        self._changed = threading.Condition()
        self._frames: deque[LiveFrame] = deque()
        self._skipped = 0
        self._damaged = self._marred = 0  # said so far
        self._failure: SourceError | None = None
        self._over = False
        self._video: VideoSource | None = None
        self._alive_at = time.monotonic()  # when the last frame came
        self._packets = 0  # how many had come by then; 0: no frame yet
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="source", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether a source that has an end came to it, and all its frames were taken."""
        with self._changed:
            return self._over and self._failure is None and not self._frames

    @property
    def goes_on(self) -> bool:
        """Whether it can be gone on with where it was: a file, or a playlist that becomes one."""
        return self._video is not None and (self._video.has_end or self._video.in_bursts)

    @property
    def alive(self) -> bool:
        """Whether its thread still runs."""
        return self._thread.is_alive()

    def take(self, wait_s: float) -> LiveFrame | None:
        """The next frame; None if none came within ``wait_s`` or there are no more.

        Raises:
            StalledError: It is connected, and no frame came for ``timeout_s``.
            SourceError: It could not be opened, or was lost.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._over, wait_s)
            if self._frames:
                return self._frames.popleft()
            if self._failure is not None:
                raise self._failure
            if not self._over:
                self._check()
            return None

    def take_skipped(self) -> int:
        """How many frames nobody took in time, since this was last asked."""
        with self._changed:
            skipped, self._skipped = self._skipped, 0
            return skipped

    def take_undecoded(self) -> int:
        """How many frames there was no time to decode, since this was last asked."""
        return self._packet_queue.take_skipped() if self._packet_queue is not None else 0

    def take_damaged(self) -> int:
        """How many frames came and gave no picture (``Damage.lost``), since this was last asked."""
        so_far = self._video.damage.lost if self._video is not None else 0
        damaged, self._damaged = so_far - self._damaged, so_far
        return damaged

    def take_marred(self) -> int:
        """How many pictures were marked as damaged, since this was last asked."""
        so_far = self._video.damage.marred if self._video is not None else 0
        marred, self._marred = so_far - self._marred, so_far
        return marred

    def close(self, *, wait: bool = False) -> None:
        """Lets go of the source; the thread ends as soon as FFmpeg returns to it.

        Args:
            wait: Gives it a moment to say goodbye: cameras count connections.
        """
        self._closing.set()
        if wait:
            self._thread.join(_LETTING_GO_S)

    def _check(self) -> None:
        let_go_s = self._packet_queue.let_go_s if self._packet_queue is not None else 0.0
        silent_s = time.monotonic() - max(self._alive_at, let_go_s)
        times = _BEGINNING
        if self._packets and self._video is not None:
            waits = self._video.in_bursts and not self._video.has_end
            times = BETWEEN_PIECES if waits else 1
        if silent_s <= self._timeout_s * times + _GRACE_S:
            return
        if self._video is None:
            raise SourceError(f"cannot open {self.name}: no answer within {silent_s:.0f} s")
        raise StalledError(self._stalled(silent_s))

    def _stalled(self, silent_s: float) -> str:
        packets = (self._video.packets if self._video else 0) - self._packets
        if packets > 1:
            return (
                f"{self.name} is connected, but none of the {packets} packets "
                f"of the last {silent_s:.0f} s gave a picture"
            )
        # the end of a silence may bring the frame that came before it
        return f"{self.name} is connected, but silent for {max(silent_s, self._timeout_s):.0f} s"

    def _run(self) -> None:
        failure: SourceError | None = None
        try:
            failure = self._read()
        except SourceError as error:
            failure = error
        except Exception as error:  # whatever it is, a reader that is gone must be noticed
            why = str(ProcessLimitError()) if is_reached(error) else repr(error)
            failure = SourceError(f"{self.name} cannot be read: {why}")
        with self._changed:
            self._failure = failure
            self._over = True
            self._changed.notify_all()

    def _read(self) -> SourceError | None:
        """Reads to the end; returns why it came before its time."""
        with VideoSource(
            self._source,
            rtsp_transport=self._transport,
            timeout_s=self._timeout_s,
            trust=self._trust,
        ) as video:
            self.rate = video.rate
            self._alive_at = time.monotonic()
            self._video = video
            through: Through = iter
            if not video.has_end:
                lag_s = self._lag_s * (_BURST if video.in_bursts else 1)
                self._packet_queue = PacketQueue(lag_s, self._closing.is_set)
                through = self._packet_queue.through
            elif self._after_s is not None:
                video.go_to(self._after_s)
            wait = self._pacing(video)
            stamp_s = last_s = None
            for frame in video.decoded(self._closing.is_set, through):
                stamp_s = video.stamp_s(frame)
                if video.has_end and self._is_taken(stamp_s):
                    continue
                wait(stamp_s)
                if self._closing.is_set():
                    return None
                self._put(LiveFrame(frame, stamp_s, *self._arrived(video)))
                self._packets = video.packets
                last_s = stamp_s
            if video.timed_out:
                return StalledError(self._stalled(time.monotonic() - self._alive_at))
            if video.cut_short is not None or not video.has_end:
                return SourceError(f"{self.name} is lost: {video.cut_short or 'the stream ended'}")
            missing_s = video.lacks_s(last_s)
            # tried again from there without another frame, it has no more, whatever it promises
            if missing_s and (last_s is not None or self._after_s is None):
                return SourceError(f"{self.name} is lost: {missing_s:.1f} s before its end")
            return None

    def _is_taken(self, stamp_s: float | None) -> bool:
        return self._after_s is not None and stamp_s is not None and stamp_s <= self._after_s

    def _pacing(self, video: VideoSource) -> Callable[[float | None], None]:
        """What holds a frame with a time stamp back until its turn.

        A file behind a URL comes as fast as the network is, and some streams in pieces of several
        seconds at once; other cameras have their own pace.
        """
        times = Timestamps(1 / float(video.rate))
        if video.has_end:
            pacer = Pacer(self._closing.wait)

            def at_its_speed(stamp_s: float | None) -> None:
                self._alive_at = math.inf
                pacer.wait(times.place(stamp_s))

            return at_its_speed
        queue = self._packet_queue
        if not video.in_bursts or queue is None:
            return lambda stamp_s: None
        held = BurstPacer(_HELD * self._lag_s, self._closing.wait)

        def in_turn(stamp_s: float | None) -> None:
            held.wait(times.place(stamp_s), queue.arrived_s)

        return in_turn

    def _arrived(self, video: VideoSource) -> tuple[int, float]:
        if self._packet_queue is not None and not video.in_bursts:
            return self._packet_queue.arrived_ms, self._packet_queue.arrived_s
        return time.time_ns() // 1_000_000, time.monotonic()

    def _put(self, frame: LiveFrame) -> None:
        with self._changed:
            if len(self._frames) >= self._backlog:
                self._skipped += len(self._frames)
                self._frames.clear()
            self._frames.append(frame)
            self._alive_at = time.monotonic()
            self._changed.notify_all()
