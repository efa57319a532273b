"""Video out: H.264 MP4 that a crash leaves playable, and that can be gone on with."""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
import numpy.typing as npt
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
from av.video.frame import VideoFrame

from platestream.errors import OutputError
from platestream.video.reason import reason

Image = npt.NDArray[np.uint8]

TIME_BASE = Fraction(1, 90_000)  # MPEG's clock: 24, 25, 30 and 30000/1001 fps are whole in it
KEYFRAME_S = 2.0
# each frame is a fragment of its own: what has been written can be played, whatever happens next
_FRAGMENTED = "empty_moov+default_base_moof+frag_every_frame"


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
    return OutputError(f"cannot write '{path}': {reason(error)}")
