"""Video in: a file, a URL or a device opened, its frames one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from platestream.errors import SourceError
from platestream.messages import MAX_PIXELS, MAX_SIDE
from platestream.video.reason import reason

Image = npt.NDArray[np.uint8]

_MAX_RATE = 240
_FALLBACK_RATE = Fraction(25)


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """A decoded picture: ``image`` HxWx3 uint8 BGR, ``pts_s`` seconds from the first one."""

    image: Image
    pts_s: float


def is_live(source: str) -> bool:
    """Whether a source delivers at its own pace: a URL or a device, not a file."""
    return "://" in source or source.startswith("/dev/")


class VideoSource:
    """An open video: its size, its rate, and its frames one after the other.

    Attributes:
        width, height: Pixels.
        rate: Nominal frames per second.
        promised: How many frames the header says there are; 0 if it does not say.
        undecodable: How many packets could not be decoded so far; they are passed over.
    """

    def __init__(self, source: str, *, rtsp_transport: str = "tcp", timeout_s: float = 10.0):
        """Opens a file, URL or device.

        Raises:
            SourceError: It is not there, cannot be read, or holds no video.
        """
        self.source = source
        self._container = _open(source, rtsp_transport, timeout_s)
        try:
            self._stream = _video_stream(self._container, source)
        except SourceError:
            self._container.close()
            raise
        # frame threads would hold pictures back, which a live viewer would see as delay
        self._stream.thread_type = "SLICE" if is_live(source) else "AUTO"
        self.width = int(self._stream.codec_context.width)
        self.height = int(self._stream.codec_context.height)
        self.rate = _rate(self._stream)
        self.promised = int(self._stream.frames or 0)
        self.undecodable = 0
        self.cut_short: str | None = None

    def frames(self, skip: int = 0) -> Iterator[SourceFrame]:
        """Decodes the frames in order of presentation.

        Args:
            skip: Leaves out so many at the beginning; their times still count.

        Time stamps that are missing or do not rise are replaced by the nominal rate's.
        """
        step = 1 / float(self.rate)
        first: float | None = None
        last = -step
        for index, frame in enumerate(self._decode()):
            stamp = frame.time  # seconds; None where the container gives none
            if first is None:
                first = stamp
            pts_s = stamp - first if stamp is not None and first is not None else last + step
            if pts_s <= last:
                pts_s = last + step
            last = pts_s
            if index >= skip:
                image = frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False)
                yield SourceFrame(image, pts_s)

    def close(self) -> None:
        """Lets go of the source."""
        self._container.close()

    def __enter__(self) -> VideoSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _decode(self) -> Iterator[VideoFrame]:
        try:
            for packet in self._container.demux(self._stream):
                try:
                    yield from packet.decode()
                except av.error.InvalidDataError:
                    self.undecodable += 1
        except av.error.EOFError:
            return
        except av.error.FFmpegError as error:
            self.cut_short = reason(error)


def _open(source: str, rtsp_transport: str, timeout_s: float) -> InputContainer:
    options: dict[str, str] = {}
    kind = None
    if not is_live(source):
        path = Path(source)
        if not path.exists():
            raise SourceError(f"no such file: '{source}'")
        if path.is_dir():
            raise SourceError(f"'{source}' is a folder; name a video file, a URL or a device")
        if path.stat().st_size == 0:
            raise SourceError(f"'{source}' is empty (0 bytes)")
        options["protocol_whitelist"] = "file"  # a playlist in disguise must not fetch anything
    elif source.startswith("rtsp"):
        options["rtsp_transport"] = rtsp_transport
    elif source.startswith("/dev/"):
        kind = "v4l2"
    try:
        container: Any = av.open(
            source,
            format=kind,
            options=options,
            timeout=(timeout_s, timeout_s) if is_live(source) else None,
            metadata_errors="replace",
        )
    except PermissionError as error:
        raise SourceError(f"'{source}' may not be read: permission denied") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        why = reason(error)
        if is_live(source):
            raise SourceError(f"cannot open {source}: {why}") from error
        raise SourceError(
            f"'{source}' is not a video that can be read ({why}); is it whole, and a video?"
        ) from error
    return container  # type: ignore[no-any-return]


def _video_stream(container: InputContainer, source: str) -> VideoStream:
    if not container.streams.video:
        raise SourceError(f"'{source}' holds no video")
    stream = container.streams.video[0]
    width, height = stream.codec_context.width, stream.codec_context.height
    if container.format.name == "tty" or not width or not height:
        raise SourceError(f"'{source}' is not a video that can be read; is it whole, and a video?")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise SourceError(f"'{source}' is {width}x{height}; the limit is {MAX_PIXELS} pixels")
    return stream


def _rate(stream: VideoStream) -> Fraction:
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and 0 < rate <= _MAX_RATE:
            return Fraction(rate).limit_denominator(100_000)
    return _FALLBACK_RATE
