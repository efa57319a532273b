"""Video in and out: open, read and pace a source; encode H.264 MP4 that a crash leaves playable."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import numpy.typing as npt
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer, OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from platestream.errors import OutputError, SourceError
from platestream.messages import MAX_PIXELS, MAX_SIDE

Image = npt.NDArray[np.uint8]

TIME_BASE = Fraction(1, 90_000)  # MPEG's clock: 24, 25, 30 and 30000/1001 fps are whole in it
KEYFRAME_S = 2.0
_MAX_RATE = 240
_FALLBACK_RATE = Fraction(25)
# each frame is a fragment of its own: what has been written can be played, whatever happens next
_FRAGMENTED = "empty_moov+default_base_moof+frag_every_frame"


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
            self.cut_short = _reason(error)


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
        why = _reason(error)
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


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return str(text)[:200].lower()


class Pacer:
    """Releases frames no sooner than their time, as a camera would."""

    def __init__(self) -> None:
        self._began: float | None = None

    def wait(self, pts_s: float) -> None:
        """Sleeps until ``pts_s`` seconds after the first call's."""
        now = time.monotonic()
        if self._began is None:
            self._began = now - pts_s
        delay = self._began + pts_s - now
        if delay > 0:
            time.sleep(delay)


class VideoEncoder:
    """Writes H.264 into an MP4, a fragment per frame; ``close`` makes an ordinary one of it.

    A process that is killed leaves a file that plays up to its last frame, and ``resume`` goes on
    from there. H.264 with 4:2:0 chroma, which browsers play, needs even sides: an odd picture gets
    its last row or column repeated once.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        rate: Fraction,
        *,
        preset: str = "superfast",
        crf: int = 23,
        resume_frames: int = 0,
    ) -> None:
        """Opens the file for writing.

        Args:
            width, height: Of the pictures to come, in pixels.
            rate: Nominal frames per second.
            preset, crf: x264's trade of speed for size, and its quality (0 to 51, less is better).
            resume_frames: Keeps so many frames of what is at ``path`` and goes on after them.

        Raises:
            OutputError: The file cannot be written.
        """
        self.path = path
        self.width = width
        self.height = height
        self._coded = (width + width % 2, height + height % 2)
        self._step = 1 / float(rate)
        self._last_pts = -1
        target = path.with_name(f".{path.name}.resumed") if resume_frames else path
        try:
            self._container: OutputContainer = av.open(
                str(target),
                "w",
                format="mp4",
                options={"movflags": _FRAGMENTED, "flush_packets": "1"},
            )
            self._stream = self._container.add_stream("libx264", rate=rate)
            self._stream.width, self._stream.height = self._coded
            self._stream.pix_fmt = "yuv420p"
            self._stream.time_base = TIME_BASE
            self._stream.codec_context.time_base = TIME_BASE
            self._stream.codec_context.gop_size = max(1, round(KEYFRAME_S * rate))
            self._stream.codec_context.max_b_frames = 0
            self._stream.options = {"preset": preset, "crf": str(crf), "tune": "zerolatency"}
            self._container.start_encoding()
            if resume_frames:
                self._copy(resume_frames)
                os.replace(target, path)
        except (av.error.FFmpegError, OSError) as error:
            raise _output_error(path, error) from error

    def write(self, image: Image, pts_s: float) -> None:
        """Encodes a picture; the one before it is then in the file, whole.

        (A fragment is complete once the next frame gives the length of its last one.)

        Args:
            image: HxWx3 uint8 BGR, of the size given at the start.
            pts_s: Seconds from the first frame; must rise.

        Raises:
            OutputError: The file cannot be written; what it holds can still be played.
        """
        padding = (self._coded[1] - image.shape[0], self._coded[0] - image.shape[1])
        if any(padding):
            image = np.pad(image, ((0, padding[0]), (0, padding[1]), (0, 0)), mode="edge")
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
        self._last_pts = max(round(pts_s / TIME_BASE), self._last_pts + 1)
        frame.pts = self._last_pts
        frame.time_base = TIME_BASE
        frame.duration = round(self._step / TIME_BASE)
        try:
            self._container.mux(self._stream.encode(frame))
        except (av.error.FFmpegError, OSError) as error:
            raise _output_error(self.path, error) from error

    def close(self) -> None:
        """Ends the file and rewrites it with its index in front, so that it seeks anywhere.

        Raises:
            OutputError: The file cannot be written; the fragmented one stays as it is.
        """
        self.abandon()
        try:
            _make_fast_start(self.path)
        except (av.error.FFmpegError, OSError) as error:
            raise _output_error(self.path, error) from error

    def abandon(self) -> None:
        """Ends the file as it is: fragmented, playable, ready to be resumed.

        Raises:
            OutputError: The last bytes cannot be written.
        """
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
        except (av.error.FFmpegError, OSError) as error:
            raise _output_error(self.path, error) from error

    def _copy(self, frames: int) -> None:
        """Copies the first frames of the file at ``path`` without decoding them.

        The new encoder has the old one's settings, so its parameter sets are the same and fit
        the copied packets too. They lie in MP4's length-prefixed form, and the muxer expects the
        encoder's start-code form (Annex B), hence the filter.
        """
        with av.open(str(self.path)) as source:
            stream = source.streams.video[0]
            size = (stream.codec_context.width, stream.codec_context.height)
            if size != self._coded:
                raise OutputError(f"'{self.path}' is {size[0]}x{size[1]}, not {self._coded}")
            to_annex_b = BitStreamFilterContext("h264_mp4toannexb", stream)
            for copied, packet in enumerate(source.demux(stream)):
                if copied == frames or packet.pts is None or packet.time_base is None:
                    break
                self._last_pts = round(packet.pts * packet.time_base / TIME_BASE)
                for filtered in to_annex_b.filter(packet):
                    filtered.stream = self._stream
                    self._container.mux(filtered)


def count_frames(path: Path) -> int:
    """How many whole frames an MP4 of ours holds; 0 if it cannot be read."""
    with contextlib.suppress(av.error.FFmpegError, OSError, IndexError), av.open(str(path)) as file:
        count = 0
        with contextlib.suppress(av.error.FFmpegError):
            for packet in file.demux(video=0):
                count += packet.pts is not None and not packet.is_corrupt
        return count
    return 0


def _make_fast_start(path: Path) -> None:
    finished = path.with_name(f".{path.name}.finished")
    try:
        with (
            av.open(str(path)) as source,
            av.open(str(finished), "w", format="mp4", options={"movflags": "faststart"}) as target,
        ):
            stream = source.streams.video[0]
            out = target.add_stream_from_template(stream)
            out.time_base = TIME_BASE
            for packet in source.demux(stream):
                if packet.pts is not None:
                    packet.stream = out
                    target.mux(packet)
        os.replace(finished, path)
    finally:
        finished.unlink(missing_ok=True)


def _output_error(path: Path, error: BaseException) -> OutputError:
    return OutputError(f"cannot write '{path}': {_reason(error)}")
