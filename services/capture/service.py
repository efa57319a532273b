"""capture: opens a source, paces and numbers its frames, publishes them."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

from platestream import messages, streams
from platestream.clock import now_ms
from platestream.errors import SettingsError
from platestream.masking import mask
from platestream.messages import Frame, Mode
from platestream.picture import form_of
from platestream.producer import Producer
from platestream.runtime import Session
from platestream.video import (
    Pacer,
    PictureFolder,
    SourceFrame,
    VideoSource,
    check_source,
    is_live,
    open_file,
)
from services.capture import recording as recordings
from services.capture.following import Following, Publish
from services.capture.one_size import OneSize
from services.capture.recording import Recording

_LOOK_S = 1.0
_READER_LOOK_S = 0.05


class Capture:
    """Publishes a source; remembers over outages of Redis how far it is, and keeps it open."""

    def __init__(self) -> None:
        self._following: Following | None = None
        self._playing: _Playing | None = None

    def run(self, session: Session) -> None:
        """Publishes the source to its end, or until the session is stopped.

        Raises:
            SettingsError: No source is given.
            SourceError: The source cannot be opened, or a live one was away for too long.
            TakenOverError: Another capture has taken the camera over.
        """
        settings = session.settings.capture
        source = settings.source
        if not source:
            raise SettingsError("no source: name a file, a folder, a URL or a device")
        if is_live(source) and settings.live is False:
            raise SettingsError(f"{mask(source)} delivers at its own pace; it cannot be --file")
        check_source(source)
        session.not_ready("no frame has come yet", "camera")
        live = is_live(source) or bool(settings.live)
        if live and self._following is None and self._playing is None:
            _wait_for_ocr(session)
        if is_live(source):
            self._follow(session)
        else:
            self._play(session, "live" if live else "file")
        if settings.stay:
            self._stay(session)

    def _stay(self, session: Session) -> None:
        """Waits to be stopped: one that ended would be started again, and play a file once more.

        Raises:
            StreamsLostError: Redis has forgotten what was published; or that it is all.
        """
        session.ready("camera")
        session.delivered(None)
        done = self._following or self._playing
        recording = None if done is None else done.recording
        while not session.wait(_LOOK_S):
            if recording is not None and recordings.is_forgotten(session, recording):
                raise streams.StreamsLostError("Redis has forgotten the end of this recording")

    def _follow(self, session: Session) -> None:
        if self._following is None:
            self._following = Following(session)
        with contextlib.ExitStack() as opened:

            def publisher(recording: Recording) -> Publish:
                made = contextlib.closing(_Publisher(session, recording))
                return opened.enter_context(made).publish

            self._following.run(publisher)

    def _play(self, session: Session, mode: Mode) -> None:
        settings, playing = session.settings.capture, self._playing
        if playing is not None and playing.end:
            if mode == "live":
                recordings.end_again(session, playing.recording, playing.end)
                return
            if not recordings.is_forgotten(session, playing.recording):
                return  # whether or not the file is still there
        with open_file(settings.source, settings.folder_fps) as video:
            if playing is None:
                recording = recordings.finished(session, mode)
                if recording is not None:
                    session.log.info("the source has been published to its end already")
                    self._playing = _Playing(
                        recording, Pacer(session.wait), recording.frames, end="end of file"
                    )
                    return
                recording = recordings.resume(session, mode) or recordings.begin(
                    session, mode, video.width, video.height, video.rate, video.promised
                )
                playing = _Playing(recording, Pacer(session.wait), recording.frames)
                self._playing = playing
            elif mode == "live":
                playing.late += playing.under_way - recordings.go_on(session, playing.recording)
                playing.under_way = False
            elif not recordings.take_up(session, playing.recording):
                return
            else:
                playing.taken = playing.recording.frames
            self._publish_all(session, video, playing)

    def _publish_all(
        self, session: Session, video: VideoSource | PictureFolder, playing: _Playing
    ) -> None:
        recording, mode = playing.recording, playing.recording.mode
        goes_on = playing.taken > 0
        recordings.note_state(session, "live", recording)
        one_size = OneSize(session, recording)
        with contextlib.closing(_Publisher(session, recording)) as publisher:
            for frame in video.frames(skip=playing.taken):
                playing.taken += 1
                if mode == "live":
                    if goes_on and playing.pacer.is_late(frame.pts_s):
                        playing.late += 1  # a camera would not have waited for Redis either
                        continue
                    goes_on = False
                    playing.count_late(session)
                    playing.pacer.wait(frame.pts_s)
                    captured_at_ms = now_ms()
                else:
                    captured_at_ms = recording.started_at_ms + round(1000 * frame.pts_s)
                picture = one_size.fit(frame.picture)
                playing.under_way = True
                if session.stopped() or not publisher.publish(
                    SourceFrame(picture, frame.pts_s), captured_at_ms
                ):
                    break
                playing.under_way = False
        playing.count_late(session)
        _warn(session, video, recording)
        reason = "stopped" if session.stopped() else "end of file"
        recordings.end(session, recording, reason)
        playing.end = reason


def _wait_for_ocr(session: Session) -> None:
    """Waits until a replica reads, or for ``capture.ocr_patience_s``."""
    patience_s = session.settings.capture.ocr_patience_s
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        if streams.living_replicas(session.client) or session.wait(_READER_LOOK_S):
            return
    if patience_s:
        session.log.warning(f"no replica reads after {patience_s:g} s; going on without")


@dataclass
class _Playing:
    """How far a file is.

    Attributes:
        taken: How many of its frames have been taken from it, published or not.
        under_way: Whether the last of them is being published.
        late: Live: how many could not be published in their time, and are not counted yet.
        end: Why it has ended; empty before that.
    """

    recording: Recording
    pacer: Pacer
    taken: int
    under_way: bool = False
    late: int = 0
    end: str = ""

    def count_late(self, session: Session) -> None:
        """Counts them."""
        late, self.late = self.late, 0
        if late:
            session.log.warning(f"{late} frames came while Redis was away, and are lost")
            session.count(session.settings.camera, skipped_by_capture=late)


class _Publisher:
    """Numbers frames and puts them into the stream: in file mode as soon as there is room."""

    def __init__(self, session: Session, recording: Recording) -> None:
        self._session = session
        self._recording = recording
        self._mode = recording.mode
        self._rate = f"{recording.rate.numerator}/{recording.rate.denominator}"
        self._key = streams.frames_key(session.settings.camera)
        groups = [name for name in session.settings.capture.wait_for.split(",") if name]
        self._waits = recording.mode == "file" and bool(groups)
        for group in (streams.VISUALIZE, streams.OCR):
            streams.ensure_group(session.client, self._key, group)
        self._producer = Producer(session, "frames", groups)

    def publish(self, frame: SourceFrame, captured_at_ms: int) -> bool:
        """Publishes a frame; returns False if it was not, because the session is stopped.

        A live frame that a full Redis refuses is left out; the next one has its id.

        Raises:
            TakenOverError: Another capture has taken the camera over.
        """
        settings, client = self._session.settings, self._session.client
        took = self._session.metrics.took(settings.camera)
        frame_id = self._recording.next_frame_id
        packed = self._producer.pack(frame_id, frame.picture, waits=self._waits)
        if packed is None:
            return False
        width, height, _ = form_of(frame.picture)
        message = Frame(
            frame_id=frame_id,
            captured_at_ms=captured_at_ms,
            pts_s=frame.pts_s,
            published_at_ms=now_ms(),
            width=width,
            height=height,
            rate=self._rate,
            mode=self._mode,
            pixels=packed,
        )
        fields = messages.frame_fields(message)
        captured = streams.Captured(True, True)

        def send(oldest_kept: str | None) -> None:
            nonlocal captured
            captured = streams.publish_captured(
                client,
                settings.camera,
                frame_id,
                fields,
                captured_at_ms=captured_at_ms,
                oldest_kept=oldest_kept,
                captured_by=self._recording.captured_by,
            )

        if not self._producer.publish(
            frame_id,
            packed,
            send,
            size=streams.size_of(fields),
            waits=self._waits,
            drops=self._mode == "live",
        ):
            return self._mode == "live"
        if not captured.new:
            if self._mode == "live":
                recordings.meet(self._session, self._recording)
                return True
            recordings.refuse_if_taken_over(self._session, self._recording)
        if not captured.known and self._recording.frames:  # Redis was emptied before anybody saw it
            if self._mode == "file":
                raise streams.StreamsLostError(f"Redis has lost {self._key}")
            recordings.register(self._session, self._recording)
            recordings.note_state(self._session, "live", self._recording)
        self._session.metrics.done(settings.camera, took)
        self._session.ready("camera")
        self._session.delivered(settings.capture.timeout_s if self._mode == "live" else None)
        self._recording.next_frame_id += 1
        return True

    def close(self) -> None:
        """Lets go of the pictures; those under way stay for who is to read them."""
        self._producer.close()


def _warn(session: Session, video: VideoSource | PictureFolder, recording: Recording) -> None:
    """Says, and notes for ``run``, where a file did not hold what its header promised."""
    said = video.complaints(recording.frames)
    if said and not session.stopped():
        warning = f"'{session.settings.capture.source}': {'; '.join(said)}"
        session.log.warning(warning)
        streams.register_camera(session.client, session.settings.camera, warning=warning)
