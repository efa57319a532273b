"""capture: opens a source, paces and numbers its frames, publishes them."""

from __future__ import annotations

from platestream import messages, pixels, streams
from platestream.clock import now_ms
from platestream.errors import SettingsError
from platestream.masking import mask
from platestream.messages import Frame, Mode
from platestream.runtime import Session
from platestream.video import (
    Pacer,
    PictureFolder,
    SourceFrame,
    VideoSource,
    is_live,
    open_file,
)
from services.capture import recording as recordings
from services.capture.following import Following
from services.capture.one_size import OneSize
from services.capture.recording import Recording


class Capture:
    """Publishes a source; over outages of Redis it keeps a live one open."""

    def __init__(self) -> None:
        self._following: Following | None = None

    def run(self, session: Session) -> None:
        """Publishes the source to its end, or until the session is stopped.

        Raises:
            SettingsError: No source is given.
            SourceError: The source cannot be opened, or a live one was away for too long.
        """
        settings = session.settings.capture
        source = settings.source
        if not source:
            raise SettingsError("no source: name a file, a folder, a URL or a device")
        session.not_ready("no frame has come yet", "camera")
        if not is_live(source):
            _play(session, "live" if settings.live else "file")
            return
        if settings.live is False:
            raise SettingsError(f"{mask(source)} delivers at its own pace; it cannot be --file")
        if self._following is None:
            self._following = Following(session)
        self._following.run(lambda recording: _Publisher(session, recording).publish)


def _play(session: Session, mode: Mode) -> None:
    settings = session.settings.capture
    with open_file(settings.source, settings.folder_fps) as video:
        if recordings.finished(session):
            session.log.info("the source has been published to its end already")
            return
        recording = recordings.resume(session, mode) or recordings.begin(
            session, mode, video.width, video.height, video.rate, video.promised
        )
        recordings.note_state(session, "live")
        one_size = OneSize(session, recording)
        publisher = _Publisher(session, recording)
        pacer = Pacer(session.wait)
        for frame in video.frames(skip=recording.frames):
            if mode == "live":
                pacer.wait(frame.pts_s)
                captured_at_ms = now_ms()
            else:
                captured_at_ms = recording.started_at_ms + round(1000 * frame.pts_s)
            image = one_size.fit(frame.image)
            if session.stopped() or not publisher.publish(
                SourceFrame(image, frame.pts_s), captured_at_ms
            ):
                break
        _warn(session, video, recording)
        reason = "stopped" if session.stopped() else "end of file"
        recordings.end(session, recording, reason)


class _Publisher:
    """Numbers frames and puts them into the stream: in file mode as soon as there is room."""

    def __init__(self, session: Session, recording: Recording) -> None:
        self._session = session
        self._recording = recording
        self._mode = recording.mode
        self._rate = f"{recording.rate.numerator}/{recording.rate.denominator}"
        self._key = streams.frames_key(session.settings.camera)
        self._window: streams.Window | None = None
        for group in (streams.VISUALIZE, streams.OCR):
            streams.ensure_group(session.client, self._key, group)

    def publish(self, frame: SourceFrame, captured_at_ms: int) -> bool:
        """Publishes a frame; returns False if it was not, because the session is stopped."""
        settings, client = self._session.settings, self._session.client
        took = self._session.metrics.took(settings.camera)
        packed = pixels.pack(frame.image, settings.streams.pixels, settings.streams.jpeg_quality)
        affordable = max(2, settings.streams.budget_mib * 2**20 // max(1, len(packed.data)))
        frame_id = self._recording.next_frame_id
        if self._mode == "file":
            if self._window is None:
                groups = [name for name in settings.capture.wait_for.split(",") if name]
                frames = min(settings.streams.window_frames, affordable)
                self._window = streams.Window(
                    client, self._key, groups, frames, self._recording.first_frame_id
                )
            if not self._window.wait_for_room(frame_id, self._session.stopped):
                return False
        height, width = frame.image.shape[:2]
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
        streams.publish(
            client,
            self._key,
            streams.entry_id(frame_id),
            messages.frame_fields(message),
            max_entries=affordable if self._mode == "live" else None,
        )
        known = streams.note_captured(client, settings.camera, frame_id, captured_at_ms)
        if not known and self._recording.frames:  # Redis came back empty before anybody saw it
            recordings.register(self._session, self._recording)
            recordings.note_state(self._session, "live")
        self._session.metrics.done(settings.camera, took)
        self._session.ready("camera")
        self._session.delivered(settings.capture.timeout_s if self._mode == "live" else None)
        self._recording.next_frame_id += 1
        return True


def _warn(session: Session, video: VideoSource | PictureFolder, recording: Recording) -> None:
    """Says, and notes for ``run``, where a file did not hold what its header promised."""
    said = video.complaints(recording.frames)
    if said and not session.stopped():
        warning = f"'{session.settings.capture.source}': {'; '.join(said)}"
        session.log.warning(warning)
        streams.register_camera(session.client, session.settings.camera, warning=warning)
