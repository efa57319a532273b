"""visualize: draws a reading on every frame and publishes it.

The latest reading, without ever waiting for one; or, with ``visualize.sync = "exact"``, the frame's
own, and then it waits until that has come or never will.
"""

from __future__ import annotations

import contextlib

from platestream import messages, overlay, pixels, streams
from platestream.clock import now_ms
from platestream.errors import MessageError, OverwrittenError, SettingsError
from platestream.messages import End, Frame, RenderedFrame
from platestream.producer import Producer
from platestream.runtime import Session
from platestream.streams import Delivery
from services.visualize.arrivals import Arrivals
from services.visualize.intake import Intake

_ACK_EVERY = 2  # frames; later, and capture would wait for whole batches


class Visualize:
    """Remembers over outages of Redis how far it has come."""

    def __init__(self) -> None:
        self._intake = Intake()

    def run(self, session: Session) -> None:
        """Draws frames until the session is stopped.

        Raises:
            SettingsError: ``visualize.sync`` is exact, and the camera is live.
            TakenOverError: Another visualize has taken the camera over.
        """
        self._intake.join(session)
        with contextlib.closing(_Renderer(session)) as renderer:
            _handle_all(session, self._intake, renderer, self._intake.left())
            while not session.stopped():
                _handle_all(session, self._intake, renderer, self._intake.take())


def _handle_all(
    session: Session, intake: Intake, renderer: _Renderer, deliveries: list[Delivery]
) -> None:
    done: list[str] = []
    for delivery in deliveries:
        # one that has to wait longer than this process lives stays pending for the next, and so
        # must all after it: a frame behind a later one would be refused by Redis
        if not _handle(session, intake, renderer, delivery, done):
            break
        if len(done) == _ACK_EVERY:
            intake.done(done)
    intake.done(done)


def _handle(
    session: Session,
    intake: Intake,
    renderer: _Renderer,
    delivery: Delivery,
    done: list[str],
) -> bool:
    """Deals with an entry; False if it was stopped while waiting, and has not.

    Args:
        done: Takes the entry's id, to be acknowledged with others, where nothing is counted.
    """
    lost: dict[str, int] = {}
    is_out = renderer.has_published(delivery.frame_id)  # by one that was killed
    if delivery.fields is None:
        lost["trimmed_before_visualize"] = int(delivery.is_frame and not is_out)
    else:
        try:
            message = messages.parse_frame(delivery.fields)
            if isinstance(message, End):
                if not renderer.pass_on(delivery.id, message):
                    return False
            elif not renderer.render(delivery.id, message):
                return False
        except OverwrittenError as error:
            session.log.debug(f"entry {delivery.id} of {intake.key}: {error}")
            lost["overwritten_before_visualize"] = int(not is_out)
        except MessageError as error:
            session.log.error(f"entry {delivery.id} of {intake.key}: {error}")
            lost["refused_by_visualize"] = 1
    done.append(delivery.id)
    if lost:
        intake.done(done, **lost)
    return True


class _Renderer:
    """Draws and publishes frames, one after the other."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._camera = session.settings.camera
        self._key = streams.rendered_key(self._camera)
        self._arrivals = Arrivals(session)
        self._exact = session.settings.visualize.sync == "exact"
        self.live = False
        streams.ensure_group(session.client, self._key, streams.WRITER)
        self._receiver = pixels.Receiver(session.settings.streams)
        # the writer is done with a frame only when it holds the next
        self._producer = Producer(session, "rendered", [streams.WRITER], least_frames=2)
        self._previous = streams.last_published(session.client, self._key)

    def has_published(self, frame_id: int) -> bool:
        """Whether a frame is out already: what was handed out again may be."""
        return frame_id <= self._previous

    def render(self, stream_id: str, frame: Frame) -> bool:
        """Draws a reading and publishes; False if stopped while waiting for it, or for room.

        Raises:
            MessageError: The frame's picture is damaged.
            SettingsError: It should wait for a live camera's reading.
        """
        took = self._session.metrics.took(self._camera, frame.published_at_ms)
        self.live = frame.mode == "live"
        if self._exact and self.live:
            raise SettingsError(
                f"visualize.sync is exact, but camera '{self._camera}' is live, and live frames "
                "wait for nothing: set it to latest"
            )
        waits = not self.live and self._session.settings.visualize.wait_for_writer
        form = pixels.form(frame.pixels, frame.width, frame.height)
        picture = self._producer.canvas(frame.frame_id, form, waits=waits)
        if picture is None:
            return False
        self._receiver.unpack(frame.pixels, frame.width, frame.height, into=picture)
        if self._exact:
            if not self._arrivals.wait_for(frame.frame_id):
                return False
            shown = self._arrivals.latest.of_frame(frame)
        else:
            self._arrivals.take_in()
            shown = self._arrivals.latest.for_frame(frame)
        if shown is not None:
            opacity = overlay.opacity(shown[1], self._session.settings.visualize.stale_after_ms)
            overlay.draw(picture, shown[0].plates, shown[1], opacity)
        packed = self._producer.pack(frame.frame_id, picture, waits=waits)
        if packed is None:
            return False
        rendered = RenderedFrame(
            **frame.model_dump(exclude={"pixels"}),
            pixels=packed,
            reading_frame_id=shown[0].frame_id if shown else None,
            overlay_age_ms=shown[1] if shown else None,
            rendered_at_ms=now_ms(),
            plates=shown[0].plates if shown else (),
            # smaller where Redis has lost the stream, and a file is published again
            previous_frame_id=min(self._previous, frame.frame_id - 1),
        )
        fields = messages.frame_fields(rendered)

        def send(oldest_kept: str | None) -> None:
            client, owner = self._session.client, self._session.owner
            if self.live and oldest_kept is not None:
                streams.publish_rendered(
                    client, self._camera, stream_id, fields, oldest_kept, owner
                )
            else:
                streams.publish(
                    client, self._key, stream_id, fields, oldest_kept=oldest_kept, owner=owner
                )

        published = self._producer.publish(
            frame.frame_id,
            packed,
            send,
            size=streams.size_of(fields),
            waits=waits,
            drops=self.live,
        )
        if published:
            self._previous = frame.frame_id
            self._session.metrics.overlaid(self._camera, rendered)
            self._session.metrics.done(self._camera, took)
        return published or self.live

    def close(self) -> None:
        """Lets go of the pictures; those under way stay for the writer."""
        self._producer.close()

    def pass_on(self, stream_id: str, end: End) -> bool:
        """Hands the end of the recording on; False if stopped while Redis was full."""
        fields = messages.end_fields(end)
        return self._session.publish(
            self._camera,
            lambda: streams.publish(
                self._session.client, self._key, stream_id, fields, owner=self._session.owner
            ),
            waits=True,
        )
