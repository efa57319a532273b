"""capture: opens a source, paces and numbers its frames, publishes them."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from platestream import messages, pixels, streams
from platestream.clock import now_ms
from platestream.errors import SettingsError, SourceError
from platestream.messages import End, Frame, Mode
from platestream.runtime import Session
from platestream.video import Pacer, SourceFrame, VideoSource, is_live


def run(session: Session) -> None:
    """Publishes a source to its end, or until the session is stopped.

    Raises:
        SettingsError: No source is given.
        SourceError: The source cannot be opened, or a live one was away for too long.
    """
    settings = session.settings.capture
    if not settings.source:
        raise SettingsError("no source: name a file, a URL or a device")
    mode: Mode = "live" if (is_live(settings.source) or settings.live) else "file"
    if is_live(settings.source) and settings.live is False:
        raise SettingsError(f"{settings.source} delivers at its own pace; it cannot be --no-live")
    session.not_ready("no frame has come yet", "camera")
    if is_live(settings.source):
        _follow(session)
    else:
        _play(session, mode)


@dataclass
class _Recording:
    """What capture has published of a source, and where it goes on."""

    first_frame_id: int
    next_frame_id: int
    started_at_ms: int

    @property
    def frames(self) -> int:
        return self.next_frame_id - self.first_frame_id


def _play(session: Session, mode: Mode) -> None:
    with VideoSource(session.settings.capture.source) as video:
        recording = _begin(session, video, mode, resumable=True)
        if recording is None:
            session.log.info("the source has been published to its end already")
            return
        publisher = _Publisher(session, recording, video, mode)
        pacer = Pacer()
        for frame in video.frames(skip=recording.frames):
            if mode == "live":
                pacer.wait(frame.pts_s)
                captured_at_ms = now_ms()
            else:
                captured_at_ms = recording.started_at_ms + round(1000 * frame.pts_s)
            if session.stopped() or not publisher.publish(frame, captured_at_ms):
                break
        _warn(session, video, recording)
        _end(session, recording, "stopped" if session.stopped() else "end of file")


def _follow(session: Session) -> None:
    """Publishes a live source, and opens it again whenever it is lost."""
    settings = session.settings.capture
    recording: _Recording | None = None
    lost_at = time.monotonic()
    tries = 0
    while not session.stopped():
        try:
            with VideoSource(
                settings.source,
                rtsp_transport=settings.rtsp_transport,
                timeout_s=settings.timeout_s,
            ) as video:
                if recording is None:
                    recording = _begin(session, video, "live", resumable=False)
                assert recording is not None
                publisher = _Publisher(session, recording, video, "live")
                offset_s = (now_ms() - recording.started_at_ms) / 1000
                for frame in video.frames():
                    lost_at, tries = time.monotonic(), 0
                    publisher.publish(SourceFrame(frame.image, offset_s + frame.pts_s), now_ms())
                    if session.stopped():
                        break
                if settings.source.startswith("http") and video.cut_short is None:
                    break  # a file served over HTTP has an end; cameras have none
                raise SourceError(f"{settings.source}: {video.cut_short or 'the stream ended'}")
        except SourceError as error:
            if session.stopped():
                break
            away_s = time.monotonic() - lost_at
            if settings.patience_s is not None and away_s > settings.patience_s:
                raise SourceError(f"{error}; gave up after {away_s:.0f} s") from error
            # full jitter keeps many cameras behind one switch from coming back all at once
            pause = random.uniform(0.5, 1.0) * min(settings.reconnect_max_s, 0.5 * 2**tries)
            tries = min(tries + 1, 10)
            session.log.warning(f"{error}; trying again in {pause:.1f} s")
            if recording is not None:
                session.count(session.settings.camera, reconnects=1)
            session.wait(pause)
    if recording is not None:
        _end(session, recording, "stopped" if session.stopped() else "end of stream")


def _begin(
    session: Session, video: VideoSource, mode: Mode, *, resumable: bool
) -> _Recording | None:
    """Registers the camera; takes up a recording that another capture left unfinished.

    Returns:
        None if that recording was published to its end.
    """
    client, camera = session.client, session.settings.camera
    settings = session.settings.capture
    known = streams.read_hash(client, streams.camera_key(camera))
    last = streams.last_frame_id(client, camera)
    same = known.get("source") == settings.source and known.get("run_id", "") == settings.run_id
    if resumable and same and known.get("first_frame_id"):
        if known.get("ended") != "1":
            recording = _Recording(
                int(known["first_frame_id"]), last + 1, int(known["started_at_ms"])
            )
            session.log.info(f"going on after frame {last} of {settings.source}")
            return recording
        if settings.run_id:
            return None
    recording = _Recording(last + 1, last + 1, now_ms())
    streams.register_camera(
        client,
        camera,
        source=settings.source,
        run_id=settings.run_id,
        mode=mode,
        width=str(video.width),
        height=str(video.height),
        rate=str(video.rate),
        promised_frames=str(video.promised),
        first_frame_id=str(recording.first_frame_id),
        started_at_ms=str(recording.started_at_ms),
        ended="0",
        warning="",
    )
    session.log.info(
        f"{settings.source}: {video.width}x{video.height} at {float(video.rate):.2f} fps, {mode}"
    )
    return recording


class _Publisher:
    """Numbers frames and puts them into the stream: in file mode as soon as there is room."""

    def __init__(
        self, session: Session, recording: _Recording, video: VideoSource, mode: Mode
    ) -> None:
        self._session = session
        self._recording = recording
        self._mode = mode
        self._rate = f"{video.rate.numerator}/{video.rate.denominator}"
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
        streams.note_captured(client, settings.camera, frame_id)
        self._session.metrics.done(settings.camera, took)
        self._session.ready("camera")
        self._session.delivered(settings.capture.timeout_s if self._mode == "live" else None)
        self._recording.next_frame_id += 1
        return True


def _warn(session: Session, video: VideoSource, recording: _Recording) -> None:
    """Says, and notes for ``run``, where a file did not hold what its header promised."""
    said = []
    if video.cut_short is not None:
        said.append(f"it cannot be read beyond frame {recording.frames}: {video.cut_short}")
    if video.undecodable:
        said.append(f"{video.undecodable} damaged packets were passed over")
    if video.promised > recording.frames and not session.stopped():
        said.append(
            f"its header promises {video.promised} frames, but {recording.frames} could be decoded"
        )
    if said:
        warning = f"'{session.settings.capture.source}': {'; '.join(said)}"
        session.log.warning(warning)
        streams.register_camera(session.client, session.settings.camera, warning=warning)


def _end(session: Session, recording: _Recording, reason: str) -> None:
    camera = session.settings.camera
    last = recording.next_frame_id - 1
    end = End(frame_id=last, frames=recording.frames, reason=reason)
    streams.publish(
        session.client, streams.frames_key(camera), streams.end_id(last), messages.end_fields(end)
    )
    streams.register_camera(session.client, camera, ended="1", frames=str(recording.frames))
    session.log.info(f"{reason} after {recording.frames} frames")
