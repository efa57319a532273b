"""visualize: draws the latest reading on every frame and publishes it; never waits for one."""

from __future__ import annotations

from platestream import messages, overlay, pixels, streams
from platestream.clock import now_ms
from platestream.errors import MessageError
from platestream.messages import End, Frame, RenderedFrame
from platestream.runtime import Session
from platestream.streams import Delivery, Follower, GroupConsumer
from services.visualize.readings import LatestReading

_BATCH = 4
_BLOCK_MS = 500


def run(session: Session) -> None:
    """Draws frames until the session is stopped."""
    camera = session.settings.camera
    consumer = GroupConsumer(
        session.client, streams.frames_key(camera), streams.VISUALIZE, streams.VISUALIZE
    )
    consumer.join()
    renderer = _Renderer(session)
    for delivery in consumer.own_pending(10_000):  # handed to a visualize that died
        _handle(session, consumer, renderer, delivery)
    while not session.stopped():
        deliveries = consumer.read(_BATCH, _BLOCK_MS)
        for delivery in deliveries:
            _handle(session, consumer, renderer, delivery)
        if len(deliveries) == _BATCH and renderer.live:
            skipped = consumer.skip_to_newest(
                camera, session.settings.visualize.live_backlog_frames
            )
            session.count(camera, skipped_by_visualize=skipped)


def _handle(
    session: Session, consumer: GroupConsumer, renderer: _Renderer, delivery: Delivery
) -> None:
    camera = session.settings.camera
    if delivery.fields is None:
        session.count(camera, trimmed_before_visualize=1)
    else:
        try:
            message = messages.parse_frame(delivery.fields)
            if isinstance(message, End):
                renderer.pass_on(delivery.id, message)
            elif not renderer.render(delivery.id, message):
                return  # stopped while waiting for room: it stays pending for the next visualize
        except MessageError as error:
            session.log.error(f"entry {delivery.id} of {consumer.key}: {error}")
            session.count(camera, refused_by_visualize=1)
    consumer.ack(delivery.id)


class _Renderer:
    """Draws and publishes frames, one after the other."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._camera = session.settings.camera
        self._key = streams.rendered_key(self._camera)
        self._readings = Follower(
            session.client, streams.readings_key(self._camera), since_last=256
        )
        self._tracks = Follower(session.client, streams.tracks_key(self._camera), since_last=256)
        self._latest = LatestReading(session.settings.visualize.stale_after_ms)
        self._window: streams.Window | None = None
        self.live = False
        streams.ensure_group(session.client, self._key, streams.WRITER)

    def render(self, stream_id: str, frame: Frame) -> bool:
        """Draws the latest reading and publishes; False if stopped while waiting for room."""
        took = self._session.metrics.took(self._camera, frame.published_at_ms)
        self.live = frame.mode == "live"
        image = pixels.unpack(frame.pixels, frame.width, frame.height)
        self._take_in()
        latest = self._latest.for_frame(frame.frame_id, frame.captured_at_ms)
        if latest is not None:
            overlay.draw(image, latest[0].plates, latest[1])
        settings = self._session.settings.streams
        packed = pixels.pack(image, settings.pixels, settings.jpeg_quality)
        affordable = max(2, settings.budget_mib * 2**20 // max(1, len(packed.data)))
        if not self.live and self._session.settings.visualize.wait_for_writer:
            if self._window is None:
                self._window = streams.Window(
                    self._session.client,
                    self._key,
                    [streams.WRITER],
                    min(settings.window_frames, affordable),
                    frame.frame_id,
                )
            if not self._window.wait_for_room(frame.frame_id, self._session.stopped):
                return False
        rendered = RenderedFrame(
            **frame.model_dump(exclude={"pixels"}),
            pixels=packed,
            reading_frame_id=latest[0].frame_id if latest else None,
            overlay_age_ms=latest[1] if latest else None,
            rendered_at_ms=now_ms(),
            plates=latest[0].plates if latest else (),
        )
        streams.publish(
            self._session.client,
            self._key,
            stream_id,
            messages.frame_fields(rendered),
            max_entries=affordable if self.live else None,
        )
        self._session.metrics.overlaid(self._camera, rendered)
        self._session.metrics.done(self._camera, took)
        return True

    def pass_on(self, stream_id: str, end: End) -> None:
        """Hands the end of the recording on."""
        streams.publish(self._session.client, self._key, stream_id, messages.end_fields(end))

    def _take_in(self) -> None:
        for fields in self._readings.read():
            try:
                self._latest.add(messages.parse_reading(fields))
            except MessageError as error:
                self._refused(f"a reading was refused: {error}")
        for fields in self._tracks.read():
            try:
                tracks = messages.parse_tracks(fields)
            except MessageError as error:
                self._refused(f"tracks were refused: {error}")
                continue
            if not isinstance(tracks, End):
                self._latest.add_tracks(tracks)

    def _refused(self, what: str) -> None:
        self._session.log.error(what)
        self._session.count(self._camera, refused_by_visualize=1)
