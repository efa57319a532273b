"""One recording on disk: the MP4 and its JSON lines, kept in step over crashes."""

from __future__ import annotations

import contextlib
import json
import os
from fractions import Fraction
from pathlib import Path
from typing import IO

import cv2

from platestream import pixels
from platestream.errors import OutputError
from platestream.messages import RenderedFrame
from platestream.reading_lines import reading_line
from platestream.settings import WriterSettings
from platestream.video import VideoEncoder, count_frames


class Recording:
    """Writes rendered frames; each frame's line is on disk before the frame is.

    Attributes:
        last_frame_id: The last frame written; 0 before the first.
        kept: How many frames were found from before and kept.
    """

    def __init__(
        self, video: Path, lines: Path, settings: WriterSettings, *, resume: bool = False
    ) -> None:
        """Opens nothing yet but the lines; the first frame says how large the video is.

        Args:
            resume: Goes on after what a writer that died has left at these paths.

        Raises:
            OutputError: The lines' file cannot be written.
        """
        self.video = video
        self.lines = lines
        self._settings = settings
        self._encoder: VideoEncoder | None = None
        self.kept, self.last_frame_id = _take_stock(video, lines) if resume else (0, 0)
        try:
            self._file: IO[str] = lines.open("a" if self.kept else "w", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"cannot write '{lines}': {error.strerror}") from error

    def write(self, frame: RenderedFrame) -> None:
        """Adds a frame; the one before it is then safe on disk.

        Raises:
            OutputError: The disk is full or gone; what was written can still be played.
            MessageError: The frame's picture is damaged.
        """
        image = pixels.unpack(frame.pixels, frame.width, frame.height)
        if self._encoder is None:
            self._encoder = VideoEncoder(
                self.video,
                frame.width,
                frame.height,
                Fraction(frame.rate),
                preset=self._settings.preset,
                crf=self._settings.crf,
                resume_frames=self.kept,
            )
        size = (self._encoder.width, self._encoder.height)
        if (frame.width, frame.height) != size:  # a camera changed its mind; the file cannot
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(image.dtype)
        try:
            self._file.write(reading_line(frame))
            self._file.flush()
        except OSError as error:
            raise OutputError(f"cannot write '{self.lines}': {error.strerror}") from error
        self._encoder.write(image, frame.pts_s)
        self.last_frame_id = frame.frame_id

    def close(self) -> None:
        """Finishes the files.

        Raises:
            OutputError: They cannot be written; the video stays playable as it is.
        """
        self._file.close()
        if self._encoder is not None:
            self._encoder.close()

    def abandon(self) -> None:
        """Lets go of the files as they are, for a later writer to resume."""
        self._file.close()
        if self._encoder is not None:
            self._encoder.abandon()


def _take_stock(video: Path, lines: Path) -> tuple[int, int]:
    """How many frames both files hold whole, and the last one's id; cuts the lines to that."""
    ends: list[tuple[int, int]] = []  # (offset after the line, its frame id)
    offset = 0
    with contextlib.suppress(FileNotFoundError), lines.open("rb") as file:
        for line in file:
            offset += len(line)
            if not line.endswith(b"\n"):
                break
            try:
                ends.append((offset, int(json.loads(line)["frame_id"])))
            except (ValueError, KeyError, TypeError):
                break
    kept = min(len(ends), count_frames(video)) if ends else 0
    if not kept:
        return 0, 0
    os.truncate(lines, ends[kept - 1][0])
    return kept, ends[kept - 1][1]
