"""One file of a recording: an MP4 and its JSON lines, kept in step over crashes."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from platestream import pixels
from platestream.append_file import AppendFile, DiskError
from platestream.colour import BT601
from platestream.file_lock import BusyFileError, FileLock
from platestream.messages import RenderedFrame
from platestream.outputs import OutputFiles
from platestream.picture import Picture
from platestream.reading_lines import reading_line
from platestream.settings import WriterSettings
from platestream.video import LONGEST_GAP_S, Fragments, OtherHeaderError, VideoEncoder, scan

LIVE_SEGMENT_S = 600.0  # where the settings leave it to us
_HANDOVER_S = 3.0  # how long a writer that has been replaced may take to notice it
_PTS_STEP_S = 1e-6  # entries carry so much of a time
_TIME_STEPPED_BACK_S = 1.0  # a source's little disorder is less


class Segment:
    """Takes frames, and puts them and their lines on the disk: each frame's line before it.

    ``add`` keeps what it is given in memory, ``flush`` writes it: where the disk takes nothing,
    it is called again, and nothing is lost or written twice. The video begins at zero.

    Attributes:
        kept: How many frames were found from before and kept.
        busy: Whether another process holds the files that were to be gone on with: a writer that
            was stopped and has been replaced. What they hold whole counts; nothing is added.
        frames: How many frames were taken, those included.
        last_frame_id: The last frame taken; 0 before the first.
        last_pts_s: Its time in the video, in seconds.
        safe_frame_id: The last frame that is in both files whole, as all before it are.
    """

    def __init__(
        self, files: OutputFiles, settings: WriterSettings, codec: str, *, resume: bool = False
    ) -> None:
        """Opens nothing yet, but looks at what is there if it is to be gone on with.

        Args:
            codec: The encoder, tried.
            resume: Goes on after what a writer that died has left in these files.

        Raises:
            DiskError: What is there cannot be read now.
        """
        self.files = files
        self._settings = settings
        self._codec = codec
        self._encoder: VideoEncoder | None = None
        self._lock: FileLock | None = None
        self.busy = resume and not self._hold(_HANDOVER_S)
        self._ended = self.busy
        self._found = scan(files.video) if resume else Fragments()
        lines = read_lines(files.lines) if resume else []
        ends = len(lines) if self._found.finished else len(self._found.ends)
        whole = min(len(lines), ends)
        self.kept = self.frames = whole
        self._found = Fragments(self._found.header, self._found.ends[:whole], self._found.finished)
        kept = lines[whole - 1] if whole else Line(0, 0, 0.0)
        self.last_frame_id = kept.frame_id
        self._first_pts_s = lines[0].pts_s if whole else None
        self.last_pts_s = kept.pts_s
        self._lines = AppendFile(files.lines, kept.end)
        self._kept_end = kept.end
        if self.busy:
            self._cut()
        self._held: list[bytes] = []
        self._unsafe: list[int] = []  # ids of frames that are not whole in the file yet
        self.safe_frame_id = self.last_frame_id

    def fits(self, frame: RenderedFrame) -> bool:
        """Whether a frame belongs into this segment, or begins the next.

        Raises:
            OutputError: The encoder does not open.
        """
        if self._ended or self._found.finished:
            return False
        if self._first_pts_s is None:
            return True
        if frame.frame_id <= self.last_frame_id:
            return False
        if frame.pts_s < self.last_pts_s - _TIME_STEPPED_BACK_S:  # another start of the source
            return False
        if frame.pts_s > self.last_pts_s + LONGEST_GAP_S:
            return False
        limit_s = self._settings.segment_s
        if limit_s == "auto":
            limit_s = LIVE_SEGMENT_S if frame.mode == "live" else 0.0
        if limit_s and frame.pts_s - self._first_pts_s > limit_s - _PTS_STEP_S:
            return False
        try:
            encoder = self._open(frame)
        except OtherHeaderError:  # other settings or another size than before the restart
            return False
        limit_bytes = self._settings.segment_mib * 2**20
        if limit_bytes and encoder.size >= limit_bytes:
            return False
        return (encoder.width, encoder.height) == (frame.width, frame.height)

    def add(self, picture: Picture, frame: RenderedFrame) -> None:
        """Encodes a frame and holds it, with its line, for ``flush``.

        Args:
            picture: Of the size that ``fits`` has seen.

        Raises:
            OutputError: The encoder failed.
        """
        if self._first_pts_s is None:
            self._first_pts_s = frame.pts_s
        self._open(frame).encode(picture, frame.pts_s - self._first_pts_s)
        self._held.append(reading_line(frame).encode())
        self._unsafe.append(frame.frame_id)
        self.frames += 1
        self.last_frame_id = frame.frame_id
        self.last_pts_s = frame.pts_s

    def flush(self) -> None:
        """Writes what is held; the last frame may stay behind until the next one comes.

        Raises:
            DiskError: The disk takes nothing now; try again later.
            LostFileError: A file is gone.
        """
        while self._held:
            self._lines.append(self._held[0])
            del self._held[0]
            self._hold()
        if self._encoder is not None:
            try:
                self._encoder.flush()
            finally:
                self._note_safe(self._encoder)

    def end(self) -> None:
        """Puts the last frame on the disk too, and lets go of the files; may be called again.

        They stay as they are: playable, and a later writer may go on with them.

        Raises:
            OutputError: As ``flush``, or the encoder failed.
        """
        self._ended = True
        self.flush()
        if self._encoder is not None:
            try:
                self._encoder.abandon()
            finally:
                self._note_safe(self._encoder)
        if self.frames == self.kept:  # else what is appended has cut it
            self._cut()
        self._let_go()

    def drop(self) -> None:
        """Lets go of files that are gone, or another's; what is held is not written."""
        self._ended = True
        self._held.clear()
        self._let_go()
        if self._encoder is not None:
            self._encoder.drop()

    def _open(self, frame: RenderedFrame) -> VideoEncoder:
        if self._encoder is None:
            form = pixels.form(frame.pixels, frame.width, frame.height)
            self._encoder = VideoEncoder(
                self.files.video,
                frame.width,
                frame.height,
                Fraction(frame.rate),
                codec=self._codec,
                preset=self._settings.preset,
                crf=self._settings.crf,
                threads=self._settings.threads,
                colour=form.colour or BT601,
                kept=self._found if self.kept else None,
            )
        return self._encoder

    def _hold(self, patience_s: float = 0.0) -> bool:
        """Holds the files by the lines', once they are there; False if another process does."""
        if self._lock is None:
            try:
                self._lock = FileLock(self.files.lines, patience_s)
            except FileNotFoundError:
                return True
            except BusyFileError:
                return False
            except OSError as error:
                raise DiskError(f"cannot write '{self.files.lines}': {error.strerror}") from error
        return True

    def _cut(self) -> None:
        """Takes off what is not whole in both files; who goes on in others writes it again."""
        ends = {self.files.lines: self._kept_end}
        if self._found.header and not self._found.finished:
            ends[self.files.video] = (len(self._found.header), *self._found.ends)[self.kept]
        for path, end in ends.items():
            try:
                if path.stat().st_size > end:
                    os.truncate(path, end)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise DiskError(f"cannot write '{path}': {error.strerror}") from error

    def _let_go(self) -> None:
        self._lines.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _note_safe(self, encoder: VideoEncoder) -> None:
        while len(self._unsafe) > self.frames - encoder.frames_safe:
            self.safe_frame_id = self._unsafe.pop(0)


@dataclass(frozen=True, slots=True)
class Line:
    """A whole line of the readings: where it ends in the file, and whose it is."""

    end: int
    frame_id: int
    pts_s: float


def read_lines(path: Path) -> list[Line]:
    """The lines that are whole and ours, from the beginning on.

    Raises:
        DiskError: They cannot be read now.
    """
    lines: list[Line] = []
    end = 0
    try:
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            for line in file:
                end += len(line)
                if not line.endswith(b"\n"):
                    break
                try:
                    values = json.loads(line)
                    lines.append(Line(end, int(values["frame_id"]), float(values["pts_s"])))
                except (ValueError, KeyError, TypeError):
                    break
    except OSError as error:
        raise DiskError(f"cannot read '{path}': {error.strerror}") from error
    return lines
