"""ocr: takes frames from the consumer group, finds and reads their plates, publishes readings."""

from __future__ import annotations

import time

from platestream import messages, pixels, streams
from platestream.errors import MessageError
from platestream.messages import End, Frame, Plate, Reading
from platestream.plate_messages import to_message
from platestream.runtime import Session
from platestream.streams import Delivery, GroupConsumer
from platestream.vision.reader import PlateReader, ReadPlate

_BLOCK_MS = 500


def run(session: Session) -> None:
    """Reads frames until the session is stopped.

    Raises:
        WeightsError: Weights are missing or not ours.
        SettingsError: The device is not there, or the plates file does not fit.
    """
    settings = session.settings.ocr
    camera = session.settings.camera
    reader = PlateReader.load(
        detector_weights=settings.detector_weights,
        recognizer_weights=settings.recognizer_weights,
        backend=settings.backend,
        device=settings.device,
        threads=settings.threads,
        precision=settings.precision,
        threshold=settings.threshold,
        plates_file=settings.plates_file,
    )
    name = settings.name or session.replica_name()
    consumer = GroupConsumer(session.client, streams.frames_key(camera), streams.OCR, name)
    consumer.join()
    replica = _Replica(session, reader, consumer, name)
    session.log.info(f"replica {name} is ready")
    for delivery in consumer.own_pending(1000):  # handed to this name before it was restarted
        replica.handle([delivery])
    next_claim = time.monotonic()
    while not session.stopped():
        if time.monotonic() >= next_claim:
            claimed, lost = consumer.claim(settings.claim_after_ms, settings.batch)
            session.count(camera, claimed_by_ocr=len(claimed), trimmed_before_ocr=lost)
            replica.handle(claimed)
            if not claimed:
                next_claim = time.monotonic() + settings.claim_after_ms / 2000
        if replica.newest_only:
            skipped = consumer.skip_to_newest(camera, 1)
            session.count(camera, skipped_by_ocr=skipped)
        replica.handle(consumer.read(1 if replica.newest_only else settings.batch, _BLOCK_MS))
    consumer.leave()


class _Replica:
    """Reads batches of frames and publishes what they say."""

    def __init__(
        self, session: Session, reader: PlateReader, consumer: GroupConsumer, name: str
    ) -> None:
        self._session = session
        self._reader = reader
        self._consumer = consumer
        self._name = name
        known = streams.read_hash(session.client, streams.camera_key(session.settings.camera)).get(
            "mode"
        )
        self.newest_only = self._newest_only(known)

    def handle(self, deliveries: list[Delivery]) -> None:
        """Reads a batch, publishes its readings and acknowledges its frames, all in one."""
        camera = self._session.settings.camera
        good: list[tuple[Delivery, Frame]] = []
        for delivery in deliveries:
            frame = self._parse(delivery)
            if frame is not None:
                good.append((delivery, frame))
                took = self._session.metrics.took(camera, frame.published_at_ms)
        if not good:
            return
        self._session.metrics.batch(camera, len(good))
        try:
            readings = self._read([frame for _, frame in good])
        except Exception as error:  # whatever a model may raise on a strange picture
            if len(good) > 1:  # find out which of them it is
                for delivery, _ in good:
                    self.handle([delivery])
                return
            self._fail(good[0][0], error)
            return
        streams.publish_readings(
            self._session.client,
            camera,
            [messages.reading_fields(reading) for reading in readings],
            [delivery.id for delivery, _ in good],
        )
        self._session.metrics.done(camera, took, len(good))

    def _newest_only(self, mode: str | None) -> bool:
        policy = self._session.settings.ocr.policy
        return policy == "newest" or (policy == "auto" and mode == "live")

    def _parse(self, delivery: Delivery) -> Frame | None:
        """The frame of an entry; None if there is nothing to read, which is then dealt with."""
        camera = self._session.settings.camera
        if delivery.fields is None:
            self._session.count(camera, trimmed_before_ocr=1)
            self._consumer.ack(delivery.id)
            return None
        if delivery.deliveries > self._session.settings.ocr.max_deliveries:
            self._bury(delivery, f"handed out {delivery.deliveries} times and never finished")
            return None
        try:
            message = messages.parse_frame(delivery.fields)
        except MessageError as error:
            self._bury(delivery, str(error))
            return None
        if isinstance(message, End):
            self._consumer.ack(delivery.id)
            return None
        self.newest_only = self._newest_only(message.mode)
        return message

    def _read(self, frames: list[Frame]) -> list[Reading]:
        images = [pixels.unpack(f.pixels, f.width, f.height) for f in frames]
        return [
            Reading(
                frame_id=frame.frame_id,
                captured_at_ms=frame.captured_at_ms,
                replica=self._name,
                alphabet=self._reader.alphabet,
                plates=tuple(self._with_crop(plate) for plate in plates),
            )
            for frame, plates in zip(frames, self._reader.read(images), strict=True)
        ]

    def _with_crop(self, read: ReadPlate) -> Plate:
        """A plate as a message with its picture, which `track` cannot get from elsewhere."""
        plate = to_message(read)
        if not plate.raw:
            return plate
        crop = pixels.pack_crop(read.crop)
        if not crop:
            self._session.count(self._session.settings.camera, crops_left_out=1)
        return plate.model_copy(update={"crop": crop})

    def _fail(self, delivery: Delivery, error: Exception) -> None:
        """Tries a frame again, here and now, until it has been tried often enough."""
        tries = delivery.deliveries + 1
        if isinstance(error, MessageError) or tries > self._session.settings.ocr.max_deliveries:
            self._bury(delivery, f"{type(error).__name__}: {error}")
        else:
            self.handle([Delivery(delivery.id, delivery.fields, tries)])

    def _bury(self, delivery: Delivery, error: str) -> None:
        self._session.log.error(f"frame {delivery.frame_id} is put aside as dead: {error}")
        self._session.metrics.count(self._session.settings.camera, dead=1)
        streams.publish_dead(self._session.client, self._session.settings.camera, delivery, error)
