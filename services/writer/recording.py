"""One recording on disk: segment after segment, known to the next writer through Redis."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from platestream import pixels, streams
from platestream.messages import End, RenderedFrame
from platestream.outputs import OutputFiles, OutputNames, check_free
from platestream.runtime import Session
from services.writer.segment import Segment, read_lines


class Recording:
    """What comes from one start to one end, in one file or several.

    Where it is stands in ``recording:{camera}``. A segment is complete on the disk before the
    next one is named there, and named there before it is begun: whenever a writer is killed, the
    next one finds all that was written, and writes none of it again.

    Attributes:
        segment: The segment that is being written.
        number: Its number, from 1.
        video: Its video.
    """

    def __init__(
        self,
        session: Session,
        codec: str,
        started: str,
        number: int,
        files: OutputFiles,
        *,
        frames_before: int = 0,
        last_frame_before: int = 0,
        resume: bool = False,
    ) -> None:
        self._session = session
        self._receiver = pixels.Receiver(session.settings.streams)
        self._codec = codec
        self._started = started
        self._frames_before = frames_before
        self._last_frame_before = last_frame_before
        self._newest_ms = 0  # when the newest frame was captured that this process has taken
        self.number = number
        self.segment = Segment(files, session.settings.writer, codec, resume=resume)
        self._warn_of_another(session)

    @classmethod
    def begin(cls, session: Session, codec: str, first: RenderedFrame) -> Recording:
        """Begins a recording with its first frame, which is not written yet.

        Redis may have forgotten a recording that is on the disk: where the name says when it began
        and its first frame is this one, it is gone on with.

        Raises:
            DiskError: What is there cannot be read now.
            OutputError: A file of that name is there already, and it is the only name there is.
        """
        started = _time(first)
        made = names(session)
        files = made.files(started, 1, started, numbered=_cut(session, first))
        own = [line.frame_id for line in read_lines(files.lines)[:1]] == [first.frame_id]
        if own and made.tells_start:
            recording = cls(session, codec, started, 1, files, resume=True)
            recording._catch_up()
        else:
            number = 1
            if made.tells_start:
                number, files = _free(session, started, first, files)
            else:
                for path in (files.video, files.lines):
                    check_free(path, force=session.settings.writer.force)
            recording = cls(session, codec, started, number, files)
        recording._note(
            recording.number,
            recording.segment.files,
            recording._frames_before,
            recording._last_frame_before,
            first_frame_id=str(first.frame_id),
        )
        return recording

    @classmethod
    def resume(cls, session: Session, codec: str) -> Recording | None:
        """Takes up what a writer of the same output left unfinished; None if there is nothing.

        The disk may be ahead of what Redis says, if that has lost its last moments.

        Raises:
            DiskError: What is there cannot be read now.
        """
        known = streams.read_hash(session.client, streams.recording_key(session.settings.camera))
        if known.get("state") != "writing" or known.get("template") != names(session).template:
            return None
        recording = cls(
            session,
            codec,
            known.get("started", ""),
            int(known.get("segment", 1)),
            OutputFiles(Path(known["video"]), Path(known["lines"])),
            frames_before=int(known.get("frames_before", 0)),
            last_frame_before=int(known.get("last_frame_before", 0)),
            resume=True,
        )
        if recording._catch_up():
            recording.note()
        return recording

    def note(self) -> None:
        """Notes in Redis once more where it is: a Redis that was away may know no more of it."""
        self._note(self.number, self.segment.files, self._frames_before, self._last_frame_before)

    @property
    def facts(self) -> dict[str, str]:
        """Where it is, as Redis is told."""
        return self._facts(
            self.number, self.segment.files, self._frames_before, self._last_frame_before
        )

    @property
    def video(self) -> Path:
        """The video that is being written."""
        return self.segment.files.video

    @property
    def last_frame_id(self) -> int:
        """The last frame taken; 0 before the first."""
        return max(self._last_frame_before, self.segment.last_frame_id)

    @property
    def safe_frame_id(self) -> int:
        """The last frame that is on the disk, as all before it are."""
        return max(self._last_frame_before, self.segment.safe_frame_id)

    def is_newer(self, frame: RenderedFrame) -> bool:
        """Whether a live frame came after all that it has, whatever its id says.

        Ids begin again where Redis has lost its last moments and capture was started anew.
        """
        if frame.mode != "live":
            return False
        if self._newest_ms:
            return frame.captured_at_ms > self._newest_ms
        return self.segment.frames > 0 and frame.pts_s > self.segment.last_pts_s

    def next_segment(self, frame: RenderedFrame) -> Path:
        """Completes the segment and begins another, for this frame; may be called again.

        Returns:
            The video that is now complete.

        Raises:
            DiskError: The disk takes nothing now; try again later.
            LostFileError: A file is gone.
            OutputError: The encoder failed.
        """
        complete = self.segment
        complete.end()
        self._advance(frame, complete.frames)
        return complete.files.video

    def replace_segment(self, frame: RenderedFrame) -> None:
        """Begins another segment in place of one whose files are gone, for this frame."""
        gone = self.segment
        self._advance(frame, 0)
        gone.drop()

    def write(self, frame: RenderedFrame) -> None:
        """Takes a frame that the segment fits; ``segment.flush`` puts it on the disk.

        Raises:
            OutputError: The encoder failed.
            MessageError: The frame's picture is damaged, or overwritten.
        """
        picture = self._receiver.unpack(frame.pixels, frame.width, frame.height)
        self.segment.add(picture, frame)
        self._newest_ms = max(self._newest_ms, frame.captured_at_ms)

    def _advance(self, frame: RenderedFrame, frames: int) -> None:
        """Names the next segment in Redis, then turns to it; nothing has changed if that fails."""
        number, files = _free(self._session, self._started, frame, None, self.number + 1)
        frames, last = self._frames_before + frames, min(self.safe_frame_id, frame.frame_id - 1)
        self._note(number, files, frames, last)
        self.number, self._frames_before, self._last_frame_before = number, frames, last
        self.segment = Segment(files, self._session.settings.writer, self._codec)

    def _catch_up(self) -> bool:
        """Turns to the last of the segments on the disk that are ours; False if there is no other.

        Ours is a later number whose frames come after those of this segment, and which was last
        written after it: another recording's of that name was there before.
        """
        moved = False
        for files in names(self._session).found():
            current = self.segment
            if files.segment <= self.number or files.started not in ("", self._started):
                continue
            if not current.kept or _written(files) < _written(current.files):
                continue
            first = read_lines(files.lines)[:1]
            if first and first[0].frame_id > current.last_frame_id:
                self._frames_before += current.frames
                self._last_frame_before = current.last_frame_id
                self.number, moved = files.segment, True
                current.drop()
                self.segment = Segment(
                    files, self._session.settings.writer, self._codec, resume=True
                )
                self._warn_of_another(self._session)
        return moved

    def _warn_of_another(self, session: Session) -> None:
        if self.segment.busy:
            session.log.warning(
                f"another process, perhaps one that was stopped, still holds '{self.video}'; "
                "what comes now goes into the next file"
            )

    def _note(self, number: int, files: OutputFiles, frames: int, last: int, **more: str) -> None:
        facts = self._facts(number, files, frames, last)
        key = streams.recording_key(self._session.settings.camera)
        self._session.owner.do(_noting(key, facts | more))

    def _facts(self, number: int, files: OutputFiles, frames: int, last: int) -> dict[str, str]:
        return {
            "state": "writing",
            "template": names(self._session).template,
            "started": self._started,
            "segment": str(number),
            "video": str(files.video),
            "lines": str(files.lines),
            "frames_before": str(frames),
            "last_frame_before": str(last),
        }


def names(session: Session) -> OutputNames:
    """The names of a camera's files."""
    settings = session.settings.writer
    return OutputNames(settings.output, settings.readings, session.settings.camera)


def note_finished(session: Session, end: End, recording: Recording | None) -> None:
    """Notes in Redis that a recording has come to its end, and once more where it is.

    A Redis that was emptied meanwhile knows nothing of it; whoever counts its frames has to.
    """
    finished = {
        "state": "finished",
        "end_id": streams.end_id(end.frame_id),
        "run_id": session.settings.writer.run_id,
    }
    facts = recording.facts if recording is not None else {}
    session.owner.do(_noting(streams.recording_key(session.settings.camera), facts | finished))


def _noting(key: str, facts: Mapping[str, str]) -> list[str]:
    return ["HSET", key, *(word for pair in facts.items() for word in pair)]


def _cut(session: Session, first: RenderedFrame) -> bool:
    """Whether the settings cut a recording into segments, so that its first one has a number."""
    settings = session.settings.writer
    by_time = first.mode == "live" if settings.segment_s == "auto" else settings.segment_s > 0
    return by_time or settings.segment_mib > 0


def _free(
    session: Session,
    started: str,
    frame: RenderedFrame,
    files: OutputFiles | None,
    number: int = 1,
) -> tuple[int, OutputFiles]:
    """The first number from one on at which no file is in the way, and the segment's files.

    Args:
        started: When the recording began, as names say it.
        frame: The segment's first.
        files: The first number's, if they are not called as that number's usually are.
    """
    while True:
        files = files or names(session).files(started, number, _time(frame), numbered=True)
        if session.settings.writer.force or not (files.video.exists() or files.lines.exists()):
            return number, files
        session.log.warning(f"'{files.video}' exists already and is kept; taking the next number")
        number, files = number + 1, None


def _written(files: OutputFiles) -> int:
    """When a segment was last written, ns since the epoch; 0 if it is not there."""
    try:
        return files.lines.stat().st_mtime_ns
    except OSError:
        return 0


def _time(frame: RenderedFrame) -> str:
    return datetime.fromtimestamp(frame.captured_at_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
