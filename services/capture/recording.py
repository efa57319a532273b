"""A recording as capture knows it: what is out, where it goes on, and what Redis holds of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from platestream import messages, streams
from platestream.clock import now_ms
from platestream.errors import MessageError
from platestream.masking import mask
from platestream.messages import End, Frame, Mode
from platestream.runtime import Session

State = Literal["live", "lost", "stalled", "ended"]

_LIVE_PAUSE_MS = 60_000  # a live recording is not gone on with over a longer gap


@dataclass
class Recording:
    """What capture has published of a source, and where it goes on.

    Attributes:
        width, height: Of all its frames, in pixels: those of the first.
        promised: How many frames the source says there are; 0 if it does not say.
        started_at_ms: When its first frame was taken, ms since the epoch.
        captured_by: Who publishes it: this process.
        goes_on_s: Live: the time in the video, in seconds, when this process began or took it up.
        taken_from: Who published frames of the camera before. A Redis that comes back without its
            last moments may name it again.
    """

    mode: Mode
    first_frame_id: int
    next_frame_id: int
    started_at_ms: int
    width: int
    height: int
    rate: Fraction
    promised: int = 0
    captured_by: str = field(default_factory=streams.process_name, compare=False)
    goes_on_s: float = field(default=0.0, compare=False)
    taken_from: str = field(default="", compare=False)

    @property
    def frames(self) -> int:
        """How many frames are out."""
        return self.next_frame_id - self.first_frame_id


def begin(
    session: Session, mode: Mode, width: int, height: int, rate: Fraction, promised: int = 0
) -> Recording:
    """Registers a new recording; one that another capture left unfinished is ended first."""
    known = streams.read_hash(session.client, streams.camera_key(session.settings.camera))
    recording = Recording(mode, 0, 0, now_ms(), width, height, rate, promised)
    _take(session, recording, known)
    last = streams.last_frame_id(session.client, session.settings.camera)
    first = int(known.get("first_frame_id") or 0)
    if known.get("ended") == "0" and 0 < first <= last:
        _publish_end(session, recording, last, last - first + 1, "capture was gone")
    recording.first_frame_id = recording.next_frame_id = last + 1
    register(session, recording)
    session.log.info(
        f"{mask(session.settings.capture.source)}: {width}x{height} "
        f"at {float(rate):.2f} fps, {mode}"
    )
    return recording


def resume(session: Session, mode: Mode) -> Recording | None:
    """Takes up what another capture of the same source left unfinished; None if there is nothing.

    A file is always gone on with; a live source if its last frame is less than a minute old, and
    not of a time to come: the clock was set back, nobody knows how far.
    """
    settings = session.settings.capture
    known = streams.read_hash(session.client, streams.camera_key(session.settings.camera))
    if not _same(session, known) or known.get("ended") != "0" or known.get("mode") != mode:
        return None
    last_ms = int(known.get("last_frame_ms") or 0)
    if mode == "live" and not 0 <= now_ms() - last_ms <= _LIVE_PAUSE_MS:
        return None
    recording = _take_over(session, mode, known)
    if recording is not None:
        if mode == "live":
            recording.goes_on_s = _goes_on_s(session, recording, last_ms)
        last = recording.next_frame_id - 1
        session.log.info(f"going on after frame {last} of {mask(settings.source)}")
    return recording


def finished(session: Session, mode: Mode) -> Recording | None:
    """What a capture with this run's id has published of this source to its end already."""
    known = streams.read_hash(session.client, streams.camera_key(session.settings.camera))
    if not (session.settings.capture.run_id and _same(session, known)):
        return None
    return _take_over(session, mode, known) if known.get("ended") == "1" else None


def is_forgotten(session: Session, recording: Recording) -> bool:
    """Whether Redis does not know any more that a recording has ended, or never heard of it.

    Not so where another capture goes on with it, or has begun a later one.
    """
    known = streams.read_hash(session.client, streams.camera_key(session.settings.camera))
    first = streams.whole_number(known.get("first_frame_id"))
    if first != recording.first_frame_id:
        return first < recording.first_frame_id
    return known.get("ended") != "1" and known.get("captured_by") == recording.captured_by


def take_up(session: Session, recording: Recording) -> bool:
    """Takes up a file that this process was publishing when Redis went away.

    Redis may have gone back in time: what is not done with is published again. If it has lost the
    recording, all of it is, under the same ids: the writer passes over what it has.

    Returns:
        False if it was published to its end.

    Raises:
        TakenOverError: Another capture has taken the camera over.
    """
    client, camera = session.client, session.settings.camera
    refuse_if_taken_over(session, recording)
    known = streams.read_hash(client, streams.camera_key(camera))
    first = recording.first_frame_id
    if known.get("first_frame_id") == str(first):
        if known.get("ended") == "1":
            return False
        streams.register_camera(client, camera, captured_by=recording.captured_by)
        groups = [name for name in session.settings.capture.wait_for.split(",") if name]
        recording.next_frame_id = streams.rewind(client, camera, groups, first)
        session.log.info(f"going on with frame {recording.next_frame_id}")
        return True
    session.log.warning(
        f"Redis has lost this recording; its {recording.frames} frames are published again"
    )
    if streams.last_frame_id(client, camera) >= first:  # something was left, or came since
        client.delete(streams.frames_key(camera), streams.rendered_key(camera))
    recording.next_frame_id = first
    register(session, recording)
    streams.register_camera(client, camera, last_frame_id=str(first - 1))
    return True


def go_on(session: Session, recording: Recording) -> int:
    """Goes on with a live recording when Redis is back, which may have come back empty.

    Returns:
        How many frames had arrived although their answer did not: none, or one.

    Raises:
        TakenOverError: Another capture has taken the camera over.
    """
    refuse_if_taken_over(session, recording)
    last = streams.last_frame_id(session.client, session.settings.camera)
    arrived = max(0, last + 1 - recording.next_frame_id)
    recording.next_frame_id += arrived
    register(session, recording)
    return arrived


def meet(session: Session, recording: Recording) -> None:
    """Deals with a live frame whose id was used already: it is lost, and counted.

    Raises:
        TakenOverError: Another capture has taken the camera over.
    """
    session.count(session.settings.camera, skipped_by_capture=1)
    refuse_if_taken_over(session, recording)
    recording.next_frame_id = streams.last_frame_id(session.client, session.settings.camera) + 1


def refuse_if_taken_over(session: Session, recording: Recording) -> None:
    """Ends a capture that was stopped for a while and has been replaced.

    Raises:
        TakenOverError: Another capture has begun, or gone on with, a recording of the camera since.
    """
    owner = _owner(session)
    if owner not in ("", recording.captured_by, recording.taken_from):
        raise streams.taken_over("capture", session.settings.camera, owner)


def register(session: Session, recording: Recording) -> None:
    """Notes what is known of the camera, for the other services and for people."""
    settings = session.settings.capture
    streams.register_camera(
        session.client,
        session.settings.camera,
        **_shares_of_ocr(session),
        source=mask(settings.source),
        run_id=settings.run_id,
        mode=recording.mode,
        width=str(recording.width),
        height=str(recording.height),
        rate=f"{recording.rate.numerator}/{recording.rate.denominator}",
        promised_frames=str(recording.promised),
        first_frame_id=str(recording.first_frame_id),
        started_at_ms=str(recording.started_at_ms),
        captured_by=recording.captured_by,
        ended="0",
        warning="",
    )


def end(session: Session, recording: Recording, reason: str) -> None:
    """Publishes the end of a recording; leaves one alone that another capture goes on with.

    Raises:
        TakenOverError: Of a file: another capture has taken the camera over.
    """
    last, frames = recording.next_frame_id - 1, recording.frames
    ended = _publish_end(session, recording, last, frames, reason, ended="1", frames=str(frames))
    if ended is None:
        return  # stopped while Redis was full: the next capture goes on, or ends it
    if not ended:
        if recording.mode == "file" and not session.stopped():
            refuse_if_taken_over(session, recording)
        session.log.warning("another capture goes on with this recording")
        return
    note_state(session, "ended", recording)
    session.log.info(f"{reason} after {recording.frames} frames")


def end_again(session: Session, recording: Recording, reason: str) -> None:
    """Says once more that a live recording has ended, where Redis has forgotten it."""
    if not is_forgotten(session, recording):
        return
    register(session, recording)
    last = str(recording.next_frame_id - 1)
    streams.register_camera(session.client, session.settings.camera, last_frame_id=last)
    end(session, recording, reason)


def note_state(session: Session, state: State, recording: Recording | None = None) -> None:
    """Says how the camera is, and since when; not where another capture does so by now."""
    if recording is not None and _owner(session) not in ("", recording.captured_by):
        return
    streams.register_camera(
        session.client, session.settings.camera, state=state, state_since_ms=str(now_ms())
    )


def _owner(session: Session) -> str:
    """Who was the last to begin or take up a recording of the camera; empty if nobody is known."""
    known = streams.read_hash(session.client, streams.camera_key(session.settings.camera))
    return known.get("captured_by", "")


def _shares_of_ocr(session: Session) -> dict[str, str]:
    """What replicas may fill of the camera's budget: they serve many, and know none's settings."""
    shares = session.settings.streams.shares
    return {
        streams.own_limit("readings"): str(shares.readings),
        streams.own_limit("dead"): str(shares.dead),
    }


def _take_over(session: Session, mode: Mode, known: dict[str, str]) -> Recording | None:
    """A recording as Redis knows it, this process's from now on; None if it makes no sense."""
    try:
        recording = Recording(
            mode,
            int(known["first_frame_id"]),
            0,
            int(known["started_at_ms"]),
            int(known["width"]),
            int(known["height"]),
            Fraction(known["rate"]),
            int(known.get("promised_frames", "0")),
        )
    except (KeyError, ValueError, ZeroDivisionError):
        return None
    _take(session, recording, known)
    recording.next_frame_id = streams.last_frame_id(session.client, session.settings.camera) + 1
    return recording


def _goes_on_s(session: Session, recording: Recording, last_ms: int) -> float:
    """The time in the video by now, counted from its last frame: the clock may have been set.

    Args:
        last_ms: When that was captured.
    """
    try:
        last = messages.parse_frame(
            streams.last_frame_fields(session.client, session.settings.camera)
        )
    except MessageError:
        last = None
    if isinstance(last, Frame) and last.frame_id == recording.next_frame_id - 1:
        return last.pts_s + (now_ms() - last_ms) / 1000
    return max(0.0, (now_ms() - recording.started_at_ms) / 1000)


def _same(session: Session, known: dict[str, str]) -> bool:
    settings = session.settings.capture
    return (
        known.get("source") == mask(settings.source)
        and known.get("run_id", "") == settings.run_id
        and bool(known.get("first_frame_id"))
    )


def _take(session: Session, recording: Recording, known: dict[str, str]) -> None:
    """Takes the camera over: another capture publishes nothing more, and the last frame stays."""
    recording.taken_from = known.get("captured_by", "")
    streams.register_camera(
        session.client,
        session.settings.camera,
        captured_by=recording.captured_by,
        **_shares_of_ocr(session),
    )


def _publish_end(
    session: Session, recording: Recording, last: int, length: int, reason: str, **facts: str
) -> bool | None:
    """Publishes an end, and notes facts of the camera with it.

    Returns:
        False if the camera is another capture's by now; None if stopped while Redis was full.
    """
    end = End(frame_id=last, frames=length, reason=reason)
    ours = True

    def send() -> None:
        nonlocal ours
        ours = streams.publish_captured_end(
            session.client,
            session.settings.camera,
            last,
            messages.end_fields(end),
            facts,
            captured_by=recording.captured_by,
        )

    sent = session.publish(session.settings.camera, send, waits=True)
    return ours if sent else None
