"""Video out: H.264 MP4 that a crash leaves playable, and that can be gone on with."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import av.error
import cv2
import numpy as np

from platestream.append_file import DiskError
from platestream.colour import BT601, Colour
from platestream.errors import OutputError
from platestream.picture import I420, Form, Image, Picture, bgr, i420, video_frame
from platestream.video import codecs
from platestream.video.codecs import TIME_BASE
from platestream.video.fragments import FragmentFile, Fragments, last_decode_time
from platestream.video.reason import reason

_LEAST_HEIGHT = 4  # pixels; x264 takes no picture with fewer rows


class VideoEncoder:
    """Writes H.264 into an MP4, a fragment per frame; ``close`` makes an ordinary one of it.

    A process that is killed leaves a file that plays up to its last frame; another encoder with
    the same settings goes on from there. H.264 with 4:2:0 chroma, which browsers play, needs even
    sides: an odd picture gets its last row or column repeated once.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        rate: Fraction,
        *,
        codec: str = "libx264",
        preset: str = "superfast",
        crf: int = 23,
        threads: int = 2,
        colour: Colour = BT601,
        kept: Fragments | None = None,
    ) -> None:
        """Opens the encoder; the file is opened for the first whole fragment.

        Args:
            width, height: Of the pictures to come, in pixels.
            rate: Nominal frames per second.
            codec: ``libx264`` or another that ``codecs.choose`` has found to work.
            preset, crf: x264's trade of speed for size, and its quality (0 to 51, less is better).
            threads: Of libx264; 0 lets it choose.
            colour: Of the planes in the file, which says it: those of the pictures to come, so
                that they are encoded as they are; others are converted.
            kept: Goes on after these fragments of what is at ``path``.

        Raises:
            OtherHeaderError: What is there was written with other settings.
            OutputError: The encoder does not open, the pictures are too small for it, or what is
                there cannot be read.
        """
        self.path = path
        self.width = width
        self.height = height
        self._coded = (width + width % 2, height + height % 2)
        if height < _LEAST_HEIGHT:
            raise OutputError(
                f"cannot write '{path}': pictures of {width}x{height} are too small for H.264; "
                f"it needs {_LEAST_HEIGHT} rows"
            )
        self._colour = colour
        self._duration = round(1 / rate / TIME_BASE)
        self._file = FragmentFile(path, kept)
        self._ended = False
        try:
            self._last_pts = last_decode_time(path, kept) if kept else -1
            self._container, self._stream = codecs.open_muxer(
                self._file,
                codec,
                self._coded,
                rate,
                preset=preset,
                crf=crf,
                threads=threads,
                colour=colour,
            )
        except (av.error.FFmpegError, OSError) as error:
            raise OutputError(f"cannot write '{path}' with {codec}: {reason(error)}") from error
        self._file.begin()

    @property
    def frames_safe(self) -> int:
        """How many whole frames the file holds, those it was opened with included."""
        return self._file.fragments

    @property
    def size(self) -> int:
        """The file's size, in bytes."""
        return self._file.size

    def write(self, picture: Picture, pts_s: float) -> None:
        """Encodes a picture; the one before it is then in the file, whole.

        (A fragment is complete once the next frame gives the length of its last one.)

        Args:
            picture: Of the size given at the start.
            pts_s: Seconds from the first frame; must rise.

        Raises:
            OutputError: The encoder failed.
            DiskError: The file cannot be written now. The picture is kept: ``flush`` tries again.
            LostFileError: The file is gone.
        """
        self.encode(picture, pts_s)
        self.flush()

    def encode(self, picture: Picture, pts_s: float) -> None:
        """Encodes a picture and holds it in memory, for ``flush``; arguments as in ``write``.

        Raises:
            OutputError: The encoder failed.
        """
        if not isinstance(picture, I420) or picture.colour != self._colour:
            picture = self._planes(bgr(picture))
        frame = video_frame(picture)
        if self._stream.pix_fmt != "yuv420p":
            frame = frame.reformat(format=self._stream.pix_fmt)
        self._last_pts = max(round(pts_s / TIME_BASE), self._last_pts + 1)
        frame.pts = self._last_pts
        frame.time_base = TIME_BASE
        frame.duration = self._duration
        try:
            self._container.mux(self._stream.encode(frame))
        except (av.error.FFmpegError, OSError) as error:
            raise OutputError(f"cannot encode '{self.path}': {reason(error)}") from error

    def _planes(self, image: Image) -> I420:
        """BGR in the file's colour and size."""
        width, height = self._coded
        padding = (height - image.shape[0], width - image.shape[1])
        if any(padding):
            image = np.pad(image, ((0, padding[0]), (0, padding[1]), (0, 0)), mode="edge")
        if self._colour != BT601:
            return i420(image, self._colour)
        # OpenCV knows this one only, and is several times faster
        block = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420).astype(np.uint8, copy=False)
        planes = Form(width, height, self._colour).over(block.reshape(-1))
        assert isinstance(planes, I420)
        return planes

    def flush(self) -> None:
        """Puts what is whole and held into the file.

        Raises:
            DiskError: It cannot be written now; it is held, try again.
            LostFileError: The file is gone.
        """
        self._file.flush()

    def abandon(self) -> None:
        """Ends the file as it is: fragmented, playable, ready to be gone on with.

        May be called again where the disk did not take it.

        Raises:
            OutputError: The encoder failed.
            DiskError: The last bytes cannot be written now.
            LostFileError: The file is gone.
        """
        if not self._ended:
            self._ended = True
            try:
                self._container.mux(self._stream.encode(None))
                self._container.close()
            except (av.error.FFmpegError, OSError) as error:
                raise OutputError(f"cannot encode '{self.path}': {reason(error)}") from error
        self.flush()
        self._file.close()

    def drop(self) -> None:
        """Lets go of a file that is gone."""
        self._file.close()

    def close(self) -> None:
        """Ends the file and makes an ordinary MP4 of it.

        Raises:
            OutputError: As ``abandon`` and ``finish_video`` do.
        """
        self.abandon()
        finish_video(self.path)


def finish_video(path: Path) -> None:
    """Rewrites a fragmented file with its index in front, so that it seeks anywhere.

    The new file takes the old one's place when it is whole and on the disk itself.

    Raises:
        DiskError: It cannot be written; the fragmented one stays as it is.
    """
    finished = unfinished_path(path)
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
        fd = os.open(finished, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(finished, path)
    except (av.error.FFmpegError, OSError) as error:
        raise DiskError(f"cannot write '{path}': {reason(error)}") from error
    finally:
        finished.unlink(missing_ok=True)


def unfinished_path(path: Path) -> Path:
    """Where ``finish_video`` writes until it is through; a process that was killed leaves it."""
    return path.with_name(f".{path.name}.finished")
