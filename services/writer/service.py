"""writer: takes every rendered frame, in order, into a video and a line of JSON each."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from platestream import messages, streams
from platestream.errors import MessageError
from platestream.messages import End, RenderedFrame
from platestream.outputs import check_output, readings_path
from platestream.runtime import Session
from platestream.streams import Delivery, GroupConsumer
from services.writer.recording import Recording

_BATCH = 8
_BLOCK_MS = 500


class Writer:
    """Keeps the recording open while Redis is away and comes back."""

    def __init__(self) -> None:
        self._recording: Recording | None = None
        self._unsafe: str | None = None  # the last entry: in the file, but not yet whole
        self._done = False

    def run(self, session: Session) -> None:
        """Writes recordings until the session is stopped (or one, with ``writer.once``).

        Raises:
            OutputError: The output exists already, or cannot be written.
        """
        camera = session.settings.camera
        consumer = GroupConsumer(
            session.client, streams.rendered_key(camera), streams.WRITER, streams.WRITER
        )
        consumer.join()
        if self._recording is None:
            self._resume(session)
        if self._recording is None:
            _check(session)
        for delivery in consumer.own_pending(10_000):
            self._handle(session, consumer, delivery)
        while not session.stopped() and not self._done:
            for delivery in consumer.read(_BATCH, _BLOCK_MS):
                self._handle(session, consumer, delivery)
        if self._recording is not None:
            self.close()
            if self._unsafe is not None:
                consumer.ack(self._unsafe)

    def close(self) -> None:
        """Lets go of an unfinished recording; it can be played, and resumed."""
        if self._recording is not None:
            self._recording.abandon()
            self._recording = None

    def _handle(self, session: Session, consumer: GroupConsumer, delivery: Delivery) -> None:
        camera = session.settings.camera
        if delivery.fields is None:
            session.count(camera, trimmed_before_writer=1)
            consumer.ack(delivery.id)
            return
        try:
            message = messages.parse_rendered(delivery.fields)
            if isinstance(message, End):
                self._finish(session, message)
                consumer.ack(delivery.id, *([self._unsafe] if self._unsafe else []))
                self._unsafe = None
                self._done = session.settings.writer.once
            elif self._recording and message.frame_id <= self._recording.last_frame_id:
                if delivery.id != self._unsafe:  # written before a crash or an outage
                    consumer.ack(delivery.id)
            else:
                took = session.metrics.took(camera, message.rendered_at_ms)
                if self._recording is None:
                    self._recording = _open(session, message)
                self._recording.write(message)
                session.metrics.written(camera, message)
                session.metrics.done(camera, took)
                done, self._unsafe = self._unsafe, delivery.id
                if done is not None:
                    consumer.ack(done)
                session.count(camera, frames_written=1)
        except MessageError as error:
            session.log.error(f"entry {delivery.id} of {consumer.key}: {error}")
            session.count(camera, refused_by_writer=1)
            consumer.ack(delivery.id)

    def _finish(self, session: Session, end: End) -> None:
        if self._recording is not None:
            self._recording.close()
            session.log.info(f"{self._recording.video} is finished")
            self._recording = None
        session.client.hset(
            streams.recording_key(session.settings.camera),
            mapping={"state": "finished", "end_id": streams.end_id(end.frame_id)},
        )

    def _resume(self, session: Session) -> None:
        """Takes up what a writer of the same output left unfinished."""
        key = streams.recording_key(session.settings.camera)
        known = streams.read_hash(session.client, key)
        if known.get("state") != "writing" or known.get("template") != _template(session):
            return
        video, lines = Path(known["video"]), Path(known["lines"])
        self._recording = Recording(video, lines, session.settings.writer, resume=True)
        session.log.info(f"going on with {video} after {self._recording.kept} frames")


def _open(session: Session, first: RenderedFrame) -> Recording:
    settings = session.settings.writer
    began = datetime.fromtimestamp(first.captured_at_ms / 1000, UTC)
    names = {"camera": session.settings.camera, "started": began.strftime("%Y%m%dT%H%M%SZ")}
    video = Path(_fill(settings.output, names))
    lines = Path(_fill(settings.readings, names)) if settings.readings else readings_path(video)
    check_output(video, force=settings.force)
    check_output(lines, force=settings.force)
    recording = Recording(video, lines, settings)
    session.client.hset(
        streams.recording_key(session.settings.camera),
        mapping={
            "state": "writing",
            "template": _template(session),
            "video": str(video),
            "lines": str(lines),
            "first_frame_id": str(first.frame_id),
        },
    )
    if first.width % 2 or first.height % 2:
        session.log.warning(
            f"{first.width}x{first.height}: H.264 that browsers play needs even sides; "
            "the video gets the last row or column twice"
        )
    return recording


def _template(session: Session) -> str:
    return f"{session.settings.writer.output}|{session.settings.writer.readings}"


def _fill(template: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        template = template.replace("{" + name + "}", value)
    return template


def _check(session: Session) -> None:
    """Refuses a hopeless output before the first frame, where its name is known already."""
    settings = session.settings.writer
    for path in (settings.output, settings.readings):
        if path and "{" not in path:
            check_output(Path(path), force=settings.force)
