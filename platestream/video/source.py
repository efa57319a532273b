"""Video in: the frames of a file, a URL or a device, one after the other."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import av
import av.error
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.stream import VideoStream

from platestream import cores
from platestream.colour import Colour, Matrix
from platestream.errors import SourceError
from platestream.masking import mask
from platestream.messages import MAX_PIXELS
from platestream.picture import I420, Image, Picture, bgr
from platestream.video.container import (
    IN_PIECES,
    has_end,
    length_of,
    open_container,
    open_source,
    promised_s,
    rate_of,
    too_large,
    video_stream,
)
from platestream.video.damage import Damage
from platestream.video.orientation import Orientation
from platestream.video.reason import reason
from platestream.video.source_options import is_live
from platestream.video.timestamps import Timestamps
from platestream.video.transport_stream import TransportStream
from platestream.video.trust import Trust

VideoPacket: TypeAlias = "Packet[VideoStream]"
Through = Callable[["Iterator[VideoPacket]"], "Iterator[VideoPacket | None]"]

_NO_TIMESTAMPS = 0x80  # FFmpeg's AVFMT_NOTIMESTAMPS: stamps are made up from a guessed rate
_DURATION_SLACK_S = 2.0  # headers round, and a last frame may stand for long
_ENDS_EARLY_S = 0.5  # so long before the end of a playlist there is none
_CODEC_CHANGED = 25  # packets in a row, of a live source, that cannot be decoded
# FFmpeg's AVColorSpace (ITU-T H.273, table 4); what does not say, it takes for BT.601
_MATRICES: dict[int, Matrix] = {1: "bt709", 2: "bt601", 5: "bt601", 6: "bt601"}
_FULL_RANGE = 2  # AVColorRange


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """A decoded picture, to be read only, and its time: seconds from the first one."""

    picture: Picture
    pts_s: float

    @property
    def image(self) -> Image:
        """HxWx3 uint8 BGR."""
        return bgr(self.picture)


class VideoSource:
    """An open video: its size, its rate, and its frames one after the other.

    Attributes:
        name: The source as it may be shown: without passwords.
        width, height: Pixels, as the header says, before they are turned upright; 0 where a live
            stream does not say beforehand.
        rate: Nominal frames per second.
        promised: How many frames the header says there are; 0 if it does not say.
        has_end: Whether it is known to end: a file, also one behind a URL.
        in_bursts: Whether it comes in pieces of several seconds.
        packets: How many packets have come so far.
        undecodable: How many of them could not be decoded; they are passed over.
        damage: Of how many packets no picture came, whether or not the decoder said so.
        parts_lost: How many parts of an MPEG-TS file, each of another codec, could not be opened.
        cut_short: Why it ended before its end; None if it did not.
        timed_out: Live: whether it ended as nothing came for too long, or nothing that can be
            decoded.
    """

    def __init__(
        self,
        source: str,
        *,
        rtsp_transport: str = "tcp",
        timeout_s: float = 10.0,
        trust: Trust | None = None,
    ) -> None:
        """Opens a file, URL or device.

        Args:
            timeout_s: Live: how long opening, and then each read, may take.
            trust: As for ``options_for``.

        Raises:
            StalledError: Live: it takes a connection, and gave nothing within ``timeout_s``.
            SourceError: It is not there, cannot be read, or holds no video.
        """
        self.source = source
        self.name = mask(source)
        self.packets = 0
        self.undecodable = 0
        self.damage = Damage()
        self.parts_lost = 0
        self.cut_short: str | None = None
        self.timed_out = False
        self._timeout_s = timeout_s
        self._parts: TransportStream | None = None
        self._container = open_source(source, rtsp_transport, timeout_s, trust)
        try:
            self._stream = video_stream(self._container, source)
        except SourceError:
            self._container.close()
            raise
        if not is_live(source) and self._container.format.name == "mpegts":
            self._parts = TransportStream(Path(source))
            self._open_first_part()
        _share_decoding(self._stream, is_live(source))
        self.width = int(self._stream.codec_context.width)
        self.height = int(self._stream.codec_context.height)
        self.rate = rate_of(self._stream)
        self.promised = int(self._stream.frames or 0)
        self.has_end = has_end(self._container, source)
        self.in_bursts = self._container.format.name in IN_PIECES
        self._length = length_of(self._container, self.rate)
        # a rate that FFmpeg guessed would play a camera's pictures at a wrong speed
        self._stamped = not (is_live(source) and self._container.format.flags & _NO_TIMESTAMPS)
        self._orientation = Orientation()
        self._promised_s = promised_s(self._container, self._stream)
        self._reached_s = 0.0

    def frames(self, skip: int = 0) -> Iterator[SourceFrame]:
        """Decodes the frames in order of presentation, each in its own size.

        Args:
            skip: Leaves out so many at the beginning; their times still count.

        Time stamps that are missing, do not rise or jump are repaired (``Timestamps``).
        """
        times = Timestamps(1 / float(self.rate))
        for index, frame in enumerate(self.decoded()):
            pts_s = times.place(self.stamp_s(frame))
            self._reached_s = pts_s
            if index >= skip:
                yield SourceFrame(to_picture(frame), pts_s)

    def decoded(
        self,
        stopped: Callable[[], bool] = lambda: False,
        through: Through = lambda packets: packets,
    ) -> Iterator[VideoFrame]:
        """Decodes the frames as FFmpeg has them, upright, until the end or ``stopped``.

        Args:
            through: What packets go through between the container and the decoder. It may leave
                some out, and says by a None before the next that it does not go on from there.
        """
        try:
            yield from self._decode(stopped, through)
            while self._parts is not None and not stopped() and self._parts.next_part():
                try:
                    self._open_part()
                except SourceError:
                    self.parts_lost += 1
                else:
                    yield from self._decode(stopped, through)
        except av.error.EOFError:
            return
        except av.error.FFmpegError as error:
            self.timed_out = isinstance(error, (av.error.ExitError, av.error.TimeoutError))
            self.cut_short = "no answer" if self.timed_out else reason(error)
        except OSError as error:  # of a file that is read here
            self.cut_short = reason(error)

    def _decode(self, stopped: Callable[[], bool], through: Through) -> Iterator[VideoFrame]:
        undecodable = decoded = 0
        packets = through(self._demuxed())
        try:
            for packet in packets:
                if packet is not None and packet.size:
                    self.damage.fed(packet)
                try:
                    for frame in self._frames_of(packet):
                        if frame.width * frame.height > MAX_PIXELS:
                            raise SourceError(too_large(self.name, frame.width, frame.height))
                        undecodable = 0
                        decoded += 1
                        self.damage.gave(frame, interlaced=bool(frame.interlaced_frame))
                        yield self._orientation.upright(frame)
                except av.error.InvalidDataError:
                    self.undecodable += 1
                    undecodable += 1
                    if packet is not None and packet.size:
                        self.damage.failed(packet)
                if packet is None or not packet.size:
                    self.damage.cut(flushed=True)
                if stopped():
                    return
                if is_live(self.source) and decoded and undecodable >= _CODEC_CHANGED:
                    self.timed_out = True  # its codec may have changed
                    return
        finally:
            self.damage.cut(flushed=False)
            if isinstance(packets, Generator):
                packets.close()  # a thread may be reading for it, from what is closed next

    def _demuxed(self) -> Iterator[VideoPacket]:
        packets = self._container.demux(self._stream)
        while True:
            asked = time.monotonic()
            packet = next(packets, None)
            if packet is None:
                return
            waited_s = time.monotonic() - asked
            if not packet.size and is_live(self.source) and waited_s >= self._timeout_s:
                self.timed_out = True  # FFmpeg says that a playlist ends where it was interrupted
            self.packets += 1
            yield packet

    def _frames_of(self, packet: VideoPacket | None) -> list[VideoFrame]:
        """What a packet completes; for None, what the decoder still holds, and then it is empty."""
        if packet is not None:
            return list(packet.decode())
        nothing = Packet()
        if self._stream.time_base is not None:
            nothing.time_base = self._stream.time_base
        frames = list(self._stream.codec_context.decode(nothing))
        self._stream.codec_context.flush_buffers()
        return frames

    def _open_first_part(self) -> None:
        assert self._parts is not None
        while True:
            try:
                self._open_part()
            except SourceError:
                if not self._parts.next_part():
                    self._parts.close()
                    raise
                self.parts_lost += 1
            else:
                return

    def _open_part(self) -> None:
        """Opens the next part of an MPEG-TS file, whatever its codec."""
        assert self._parts is not None
        self._container.close()
        self._container = open_container(self._parts, self.source, format="mpegts")
        self._stream = video_stream(self._container, self.source)
        _share_decoding(self._stream, live=False)

    def stamp_s(self, frame: VideoFrame) -> float | None:
        """A frame's own time stamp, in seconds from anywhere; None where there is none."""
        return frame.time if self._stamped else None

    def go_to(self, stamp_s: float) -> None:
        """Goes on at the key frame before a time stamp; from the beginning where that cannot be."""
        with contextlib.suppress(av.error.FFmpegError):
            self._container.seek(round(stamp_s * av.time_base))

    def lacks_s(self, stamp_s: float | None) -> float:
        """How much of a playlist is missing behind a frame, in seconds, where it has an end.

        FFmpeg passes over pieces that it cannot fetch, and ends as if there were no more.

        Args:
            stamp_s: The last frame's; None: there was no frame.
        """
        if self._length is None:
            return 0.0
        begin, last = self._length
        missing_s = last - (begin if stamp_s is None else stamp_s)
        return missing_s if missing_s > _ENDS_EARLY_S else 0.0

    def complaints(self, frames: int) -> list[str]:
        """What was not as it should be, in words, after ``frames`` frames have been taken."""
        said = []
        if self.cut_short is not None:
            said.append(f"it cannot be read beyond frame {frames}: {self.cut_short}")
        if self.undecodable:
            said.append(f"{self.undecodable} damaged packets were passed over")
        if self.parts_lost:
            said.append(f"{self.parts_lost} parts of another codec could not be opened")
        if self.promised > frames:
            said.append(
                f"its header promises {self.promised} frames, but {frames} could be decoded"
            )
        elif not self.promised and self._promised_s - self._reached_s > _DURATION_SLACK_S:
            said.append(
                f"its header promises {self._promised_s:.1f} s, but it ends after "
                f"{self._reached_s:.1f} s"
            )
        return said

    def close(self) -> None:
        """Lets go of the source."""
        self._container.close()
        if self._parts is not None:
            self._parts.close()

    def __enter__(self) -> VideoSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _share_decoding(stream: VideoStream, live: bool) -> None:
    """Lets few threads decode: FFmpeg by itself starts one for every core, in each process.

    A core decodes a hundred pictures of 720p a second and more; of a fleet's processes, one for
    each camera, all together have the cores and may start so many threads.
    """
    # frame threads would hold pictures back, which a live viewer would see as delay
    stream.thread_type = "SLICE" if live else "AUTO"
    stream.codec_context.thread_count = cores.share(1)


def to_picture(frame: VideoFrame) -> Picture:
    """A decoded frame: its planes as they lie in the decoder's memory, read-only.

    Where they are no 4:2:0 of even sides with 8 bits, in BT.601 or BT.709: HxWx3 uint8 BGR.
    """
    name, matrix = frame.format.name, _MATRICES.get(int(frame.colorspace))
    upright = all(plane.line_size >= plane.width for plane in frame.planes)
    even = frame.width % 2 == frame.height % 2 == 0
    if name not in ("yuv420p", "yuvj420p") or matrix is None or not (even and upright):
        return frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False)
    full_range = name == "yuvj420p" or int(frame.color_range) == _FULL_RANGE
    y, u, v = map(_rows, frame.planes)
    return I420(y, u, v, Colour(matrix, full_range))


def _rows(plane: VideoPlane) -> Image:
    """A plane as it lies in FFmpeg's memory, read-only."""
    rows = np.frombuffer(cast("Any", plane), np.uint8).reshape(plane.height, -1)
    rows.flags.writeable = False
    return rows[:, : plane.width]
