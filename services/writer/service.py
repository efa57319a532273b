"""writer: takes every rendered frame, in order, into video and a line of JSON each."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from platestream import messages, streams
from platestream.append_file import DiskError, LostFileError
from platestream.errors import MessageError, OutputError, OverwrittenError, TakenOverError
from platestream.messages import End, RenderedFrame
from platestream.outputs import OutputFiles, check_output, check_video_name
from platestream.runtime import Session
from platestream.streams import Delivery, GroupConsumer
from platestream.video import codecs
from services.writer import recording as recordings
from services.writer.finisher import Finisher, unfinished
from services.writer.missing import Missing
from services.writer.recording import Recording
from services.writer.rotation import Rotation
from services.writer.syncer import Syncer

T = TypeVar("T")

_BATCH = 8
_BLOCK_MS = 500
_ACK_EVERY = 2  # frames; more at once would make a file's producers wait for whole batches
_MOST_PENDING = 1000
_DISK_BACKOFF_S = (0.1, 5.0)
_REMIND_S = 60.0
_ROTATE_S = 60.0
_SURE_S = 1.0  # a writer that last knew of its camera longer ago asks before it touches files
_LAST_SYNC_S = 5.0


class Writer:
    """Keeps the recording open while Redis is away and comes back."""

    def __init__(self) -> None:
        self._recording: Recording | None = None
        self._finisher = Finisher()
        self._syncer: Syncer | None = None
        self._missing = Missing()
        self._rotation = Rotation()
        self._held: list[tuple[str, int]] = []  # taken, not acknowledged: entry id, frame id
        self._again = True  # whether what was handed out before is to be read again
        self._lost = False  # whether the segment's files are gone
        self._done = False
        self._rotated_at = 0.0

    def run(self, session: Session) -> None:
        """Writes recordings until the session is stopped (or one, with ``writer.once``).

        Raises:
            SettingsError: The encoder does not work here, or the names do not allow rotation.
            OutputError: The output exists already, or the disk took nothing for too long.
            TakenOverError: Another writer has taken the camera over; it goes on with the files.
        """
        try:
            self._run(session)
        except TakenOverError:
            if self._recording is not None:
                self._recording.segment.drop()
                self._recording = None
            raise

    def _run(self, session: Session) -> None:
        camera = session.settings.camera
        settings = session.settings.writer
        if settings.keep_hours or settings.keep_mib:
            recordings.names(session).check_removable()
        codec = codecs.choose(settings.codec)
        consumer = GroupConsumer(
            session.client,
            streams.rendered_key(camera),
            streams.WRITER,
            streams.WRITER,
            session.owner,
        )
        session.join(consumer)
        self._again = True
        if self._syncer is None:
            self._syncer = Syncer(settings.fsync_s, session.log)
        try:
            if self._recording is None:
                self._take_up(session, codec)
            else:
                self._recording.note()
            while not session.stopped() and not self._done:
                try:
                    for delivery in self._next(consumer):
                        self._handle(session, consumer, codec, delivery)
                        if len(self._held) > _ACK_EVERY:
                            self._settle(session, consumer)
                    self._settle(session, consumer)
                except LostFileError as error:
                    session.log.error(f"{error}; what comes now goes into another file")
                    self._lost = self._again = True
                if time.monotonic() - self._rotated_at > _ROTATE_S:
                    self._rotate(session)
        except _StoppedError:
            pass
        if self._recording is not None:
            try:
                session.owner.check(_SURE_S)
                self._recording.segment.end()
            except OutputError as error:
                session.log.warning(f"{error}; it can be played up to what was written before")
            self._settle(session, consumer)
            self._sync_ended(self._recording.segment.files)
            self._recording = None

    def close(self) -> None:
        """Lets go of an unfinished recording, which can be played and resumed; ends what is due."""
        if self._recording is not None:
            with contextlib.suppress(OutputError):  # said when it happened; the rest can be played
                self._recording.segment.end()
            self._sync_ended(self._recording.segment.files)
            self._recording = None
        self._finisher.wait()
        if self._syncer is not None:
            self._syncer.wait(_LAST_SYNC_S)

    def _take_up(self, session: Session, codec: str) -> None:
        settings = session.settings.writer
        self._recording = self._patiently(session, lambda: Recording.resume(session, codec))
        known = streams.read_hash(session.client, streams.recording_key(session.settings.camera))
        if known.get("template") == recordings.names(session).template:
            self._finish_what_was_left(session)
        run_id = settings.run_id
        if settings.once and run_id and known.get("run_id") == run_id:
            self._done = known.get("state") == "finished"
        if self._recording is None:
            self._missing.begin(session)
            if not self._done:
                _check(session)
        else:
            segment = self._recording.segment
            self._missing.go_on_after(self._recording.last_frame_id)
            session.log.info(f"going on with {segment.files.video} after {segment.kept} frames")

    def _finish_what_was_left(self, session: Session) -> None:
        videos = [files.video for files in recordings.names(session).found()]
        current = self._recording.video if self._recording else None
        try:
            left = unfinished([video for video in videos if video != current])
        except (OSError, DiskError) as error:
            session.log.warning(f"{error}; it stays fragmented, and can be played")
            return
        for video in left:
            self._finisher.add(video, session.log)

    def _next(self, consumer: GroupConsumer) -> list[Delivery]:
        if not self._again:
            return consumer.read(_BATCH, _BLOCK_MS)
        deliveries = consumer.own_pending(_MOST_PENDING)
        self._again = False
        self._held.clear()  # they are among them
        return deliveries

    def _handle(
        self, session: Session, consumer: GroupConsumer, codec: str, delivery: Delivery
    ) -> None:
        camera = session.settings.camera
        if delivery.fields is None:
            if delivery.frame_id <= self._known and delivery.is_frame:
                self._held.append((delivery.id, delivery.frame_id))  # written before an outage
                return
            session.done(consumer, delivery.id, trimmed_before_writer=int(delivery.is_frame))
            self._missing.go_on_after(delivery.frame_id)
            return
        try:
            message = messages.parse_rendered(delivery.fields)
            if isinstance(message, End):
                self._finish(session, consumer, message)
                consumer.ack(delivery.id)
                self._done = session.settings.writer.once
            else:
                if self._recording is None:
                    self._recording = self._begin(session, codec, message)
                if message.frame_id > self._known or self._is_newer(session, message):
                    took = session.metrics.took(camera, message.rendered_at_ms)
                    self._write(session, message)
                    session.metrics.written(camera, message)
                    session.metrics.done(camera, took)
                self._held.append((delivery.id, message.frame_id))
        except OverwrittenError as error:
            session.log.debug(f"entry {delivery.id} of {consumer.key}: {error}")
            session.done(consumer, delivery.id, overwritten_before_writer=1)
        except MessageError as error:
            session.log.error(f"entry {delivery.id} of {consumer.key}: {error}")
            session.done(consumer, delivery.id, refused_by_writer=1)
        self._missing.go_on_after(delivery.frame_id)

    def _is_newer(self, session: Session, frame: RenderedFrame) -> bool:
        recording = self._recording
        if recording is None or not recording.is_newer(frame):
            return False
        session.log.warning(
            f"frame ids are back at {frame.frame_id}, after {recording.last_frame_id}: Redis has "
            "lost its last moments, and capture was started again"
        )
        return True

    @property
    def _known(self) -> int:
        """The last frame that is in the recording, as all before it that came are."""
        if self._recording is None:
            return 0
        return self._recording.safe_frame_id if self._lost else self._recording.last_frame_id

    def _write(self, session: Session, frame: RenderedFrame) -> None:
        recording = self._recording
        assert recording is not None
        self._missing.count(session, frame)
        if self._lost:
            recording.replace_segment(frame)
            self._lost = False
        if not recording.segment.fits(frame):
            files = recording.segment.files
            complete = self._patiently(session, lambda: recording.next_segment(frame))
            self._sync_ended(files)
            self._finisher.add(complete, session.log)
            session.log.info(f"{complete} is complete; going on in {recording.video}")
            self._rotate(session)
        recording.write(frame)
        self._patiently(session, recording.segment.flush)
        if self._syncer is not None:
            self._syncer.wrote(recording.segment.files)

    def _sync_ended(self, files: OutputFiles) -> None:
        if self._syncer is not None:
            self._syncer.ended(files)

    def _begin(self, session: Session, codec: str, first: RenderedFrame) -> Recording:
        self._missing.begin_recording(first)
        recording = self._patiently(session, lambda: Recording.begin(session, codec, first))
        if recording.video in self._finisher.busy:  # of the same name, and to be overwritten
            self._finisher.wait()
        if first.width % 2 or first.height % 2:
            session.log.warning(
                f"{first.width}x{first.height}: H.264 that browsers play needs even sides; "
                "the video gets the last row or column twice"
            )
        return recording

    def _finish(self, session: Session, consumer: GroupConsumer, end: End) -> None:
        recording = self._recording
        if recording is not None and not self._lost:
            self._patiently(session, recording.segment.end)
            self._settle(session, consumer)
        recordings.note_finished(session, end, recording)
        if recording is not None and not self._lost:
            self._sync_ended(recording.segment.files)
            self._finisher.add(recording.video, session.log)
        self._recording, self._lost = None, False
        self._rotate(session)

    def _settle(self, session: Session, consumer: GroupConsumer) -> None:
        """Acknowledges what is safe on the disk."""
        if self._recording is None or not self._held:
            return
        safe = self._recording.safe_frame_id
        done = [entry for entry, frame_id in self._held if frame_id <= safe]
        if done:
            session.done(consumer, *done, frames_written=len(done))
            self._held = [held for held in self._held if held[1] > safe]

    def _rotate(self, session: Session) -> None:
        self._rotated_at = time.monotonic()
        in_use = self._finisher.busy
        if self._recording is not None:
            in_use.add(self._recording.video)
        removed = self._rotation.remove_old(
            recordings.names(session), session.settings.writer, in_use, session.log
        )
        session.count(session.settings.camera, segments_removed=removed)

    def _patiently(self, session: Session, action: Callable[[], T]) -> T:
        """Does something with the disk, again and again until the disk takes it.

        Raises:
            OutputError: It took nothing for ``writer.patience_s``.
            _StoppedError: The session was stopped meanwhile.
            TakenOverError: Another writer has taken the camera over, and these files.
        """
        patience = session.settings.writer.patience_s
        pause = _DISK_BACKOFF_S[0]
        began = reminded = 0.0
        while True:
            try:
                session.owner.check(_SURE_S)
                result = action()
            except DiskError as error:
                now = time.monotonic()
                if not began:
                    began = reminded = now
                    session.log.warning(f"{error}; waiting for the disk")
                    session.count(session.settings.camera, waits_for_disk=1)
                elif now - reminded > _REMIND_S:
                    reminded = now
                    session.log.warning(f"{error}, for {now - began:.0f} s now; still waiting")
                if patience is not None and now - began >= patience:
                    raise OutputError(f"{error}; gave up after {now - began:.0f} s") from error
                session.not_ready(str(error), "disk")
                self._rotate(session)
                if session.wait(pause):
                    raise _StoppedError from error
                pause = min(2 * pause, _DISK_BACKOFF_S[1])
            else:
                session.ready("disk")
                if began:
                    waited = time.monotonic() - began
                    session.log.info(f"the disk takes data again, after {waited:.1f} s")
                return result


class _StoppedError(Exception):
    """The session was stopped while the writer waited for the disk."""


def _check(session: Session) -> None:
    """Refuses a hopeless output before the first frame, where its name is known already."""
    settings = session.settings.writer
    check_video_name(settings.output)
    if settings.readings == settings.output:
        raise OutputError(f"'{settings.output}' is the video already; name another for readings")
    for template in (settings.output, settings.readings):
        path = template.replace("{camera}", session.settings.camera)
        if path and "{" not in path:
            check_output(Path(path), force=settings.force)
