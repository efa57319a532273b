"""A live source followed: opened again whenever it is lost, its newest frames published."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from platestream import streams
from platestream.errors import SourceError
from platestream.runtime import EXIT_FAILED, Session
from platestream.video import (
    LIVE_GAP_S,
    Backoff,
    LiveFrame,
    LiveReader,
    SourceFrame,
    StalledError,
    Timestamps,
    Trust,
)
from services.capture import recording as recordings
from services.capture.one_size import OneSize
from services.capture.recording import Recording, State

Publish = Callable[[SourceFrame, int], bool]

_POLL_S = 0.25
_MOST_HANGING = 3
_SAY_S = 60.0
_COUNTED = (
    "skipped_by_capture", "undecoded_by_capture", "damaged_by_capture", "marred", "reconnects",
    "stalls", "timestamp_jumps",
)  # fmt: skip


class Following:
    """A live source's recording and its connection; both outlive an outage of Redis.

    Attributes:
        recording: None before the first frame.
    """

    def __init__(self, session: Session) -> None:
        """Raises: SourceError: ``capture.ca_file`` holds no certificate."""
        settings = session.settings.capture
        self._trust = Trust(settings.tls_verify, settings.ca_file, settings.tls_name)
        self._trust.check()
        self.recording: Recording | None = None
        self._session = session
        self._camera = session.settings.camera
        self._reader: LiveReader | None = None
        self._hanging: list[LiveReader] = []
        self._backoff = Backoff(settings.reconnect_max_s)
        self._end = ""  # why it has ended
        self._times = Timestamps(1 / 25, longest_gap_s=LIVE_GAP_S)
        self._state: State | None = None
        self._counts = dict.fromkeys(_COUNTED, 0)
        self._undecoded = 0  # not said yet
        self._said_at = -math.inf
        self._damaged = 0  # not said yet
        self._said_damaged_at = -math.inf
        self._connected_at = 0.0  # when this connection's first frame came; 0: none has
        self._last_at = time.monotonic()  # when the last frame came
        self._retry_at = 0.0
        self._taken_s: float | None = None  # the last stamp, where the source can be gone on with
        self._jumps = 0
        # when the recording began, by the monotonic clock: the one on the wall may be set
        self._began_s: float | None = None

    def run(self, publisher: Callable[[Recording], Publish]) -> None:
        """Publishes frames until the session is stopped or a source that has an end is through.

        Raises:
            SourceError: The source was away for longer than ``capture.patience_s``.
            TakenOverError: Another capture has taken the camera over.
        """
        session = self._session
        publish: Publish | None = None
        one_size: OneSize | None = None
        if self._end:
            if self.recording is not None:
                recordings.end_again(session, self.recording, self._end)
            return
        if self.recording is not None:  # Redis was away, and may have come back empty
            self._counts["skipped_by_capture"] -= recordings.go_on(session, self.recording)
        if self._state is not None:
            recordings.note_state(session, self._state, self.recording)
        while not session.stopped():
            frame = self._next()
            if frame is None:
                if self._reader is not None and self._reader.ended:
                    break
                continue
            recording = self._begun(frame)
            if publish is None or one_size is None:
                publish, one_size = publisher(recording), OneSize(session, recording)
            pts_s = self._place(recording, frame)
            try:
                self._note("live")
                publish(SourceFrame(one_size.fit(frame.picture()), pts_s), frame.arrived_ms)
            except streams.FAILURE:  # mostly an outage; whatever it is, this frame is not published
                self._counts["skipped_by_capture"] += 1
                raise
        reason = "stopped" if session.stopped() else "end of stream"
        if self._reader is not None:
            self._reader.close(wait=True)
            self._count_losses(self._reader)
        if self.recording is not None:
            self._count()
            recordings.end(session, self.recording, reason)
        self._end = reason

    def _next(self) -> LiveFrame | None:
        """The next frame, if one comes soon; opens the source where it is not open."""
        settings = self._session.settings.capture
        if self._reader is None:
            if self._session.wait(self._retry_at - time.monotonic()):
                return None
            self._reader = LiveReader(
                settings.source,
                rtsp_transport=settings.rtsp_transport,
                timeout_s=settings.timeout_s,
                backlog_frames=settings.live_backlog_frames,
                lag_s=settings.live_lag_s,
                after_s=self._taken_s,
                trust=self._trust,
            )
        self._count()  # Redis may be away: before a frame is taken, which would be lost
        try:
            frame = self._reader.take(_POLL_S)
        except SourceError as error:
            self._lost(error)
            return None
        self._count_losses(self._reader)
        if frame is not None:
            self._came(frame, self._reader)
        return frame

    def _came(self, frame: LiveFrame, reader: LiveReader) -> None:
        self._last_at = frame.arrived_s
        self._taken_s = frame.stamp_s if reader.goes_on else None
        if not self._connected_at:
            self._connected_at = frame.arrived_s
            self._times.restart()
            self._times.step_s = 1 / float(reader.rate)
            if self._state in ("lost", "stalled") and self.recording is not None:
                self._counts["reconnects"] += 1
                self._session.log.info(f"{reader.name} is back")

    def _begun(self, frame: LiveFrame) -> Recording:
        """The recording; it begins with the first frame, or goes on with what was unfinished."""
        if self.recording is None:
            assert self._reader is not None
            session = self._session
            self.recording = recordings.resume(session, "live")
            if self.recording is None:
                height, width = frame.decoded.height, frame.decoded.width
                self.recording = recordings.begin(session, "live", width, height, self._reader.rate)
                self.recording.started_at_ms = frame.arrived_ms
                recordings.register(session, self.recording)
        return self.recording

    def _place(self, recording: Recording, frame: LiveFrame) -> float:
        if self._began_s is None:
            self._began_s = frame.arrived_s - recording.goes_on_s
        clock_s = frame.arrived_s - self._began_s
        pts_s = self._times.place(frame.stamp_s, clock_s)
        if self._times.jumps > self._jumps:
            self._jumps = self._times.jumps
            self._counts["timestamp_jumps"] += 1
            self._session.log.warning(
                "the source's time stamps have jumped; the recording goes on by the clock"
            )
        return pts_s

    def _lost(self, error: SourceError) -> None:
        """Lets go of the connection and says when it is tried again."""
        session, settings = self._session, self._session.settings.capture
        assert self._reader is not None
        now = time.monotonic()
        self._count_losses(self._reader)
        self._reader.close()
        self._hanging = [reader for reader in [*self._hanging, self._reader] if reader.alive]
        self._reader = None
        stalled = isinstance(error, StalledError)
        lasted_s = max(0.0, self._last_at - self._connected_at) if self._connected_at else 0.0
        self._connected_at = 0.0
        self._counts["stalls"] += stalled
        away_s = now - self._last_at
        if settings.patience_s is not None and away_s > settings.patience_s:
            raise SourceError(f"{error}; gave up after {away_s:.0f} s") from error
        if len(self._hanging) > _MOST_HANGING:  # each holds memory that only an exit gives back
            session.log.error(f"{error}; it hangs in its decoder: starting again", fatal=True)
            raise SystemExit(EXIT_FAILED)
        pause_s = self._backoff.pause_s(lasted_s)
        self._retry_at = now + pause_s
        session.log.warning(f"{error}; trying again in {pause_s:.1f} s")
        self._count()
        self._note("stalled" if stalled else "lost")

    def _note(self, state: State) -> None:
        if state != self._state:
            self._state = state
            recordings.note_state(self._session, state, self.recording)

    def _count_losses(self, reader: LiveReader) -> None:
        """Counts frames that the reader lost; says so where it is too slow, or they are damaged."""
        self._counts["skipped_by_capture"] += reader.take_skipped()
        self._counts["damaged_by_capture"] += (damaged := reader.take_damaged())
        self._counts["marred"] += (marred := reader.take_marred())
        self._damaged += damaged + marred
        undecoded = reader.take_undecoded()
        self._counts["undecoded_by_capture"] += undecoded
        self._undecoded += undecoded
        now = time.monotonic()
        if self._undecoded and now - self._said_at >= _SAY_S:
            self._session.log.warning(
                f"decoding cannot keep up with {reader.name}: {self._undecoded} frames were left "
                "out up to key frames; give it more CPU, or let the camera send fewer pixels"
            )
            self._undecoded, self._said_at = 0, now
        if self._damaged and now - self._said_damaged_at >= _SAY_S:
            self._session.log.warning(
                f"{self._damaged} frames of {reader.name} came damaged, or gave no picture"
            )
            self._damaged, self._said_damaged_at = 0, now

    def _count(self) -> None:
        counts, self._counts = self._counts, dict.fromkeys(_COUNTED, 0)
        if any(counts.values()):
            self._session.count(self._camera, **counts)
