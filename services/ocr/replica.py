"""One replica's work on a batch: frames of any cameras read at once, published for each camera."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from platestream import messages, pixels, streams
from platestream.errors import MessageError, OverwrittenError, ReplicaError
from platestream.messages import End, Frame, Plate, Reading
from platestream.picture import Picture
from platestream.plate_messages import to_message
from platestream.runtime import Session
from platestream.streams import PoolDelivery
from platestream.vision.geometry import Box
from platestream.vision.reader import ReadPlate
from services.ocr.expectations import Expectations

_LOOK_S = 0.1  # how often it is looked whether `track` has caught up
_SAY_S = 60.0
_MOST_IN_A_ROW = 10  # frames that cannot be read, with none between them that can


class Reader(Protocol):
    """What reads pictures: ``platestream.vision.reader.PlateReader``."""

    @property
    def alphabet(self) -> str:
        """What the classes of the texts' probabilities stand for."""

    @property
    def takes_planes(self) -> bool:
        """Whether planes had better not be made BGR before they are read."""

    def read(
        self, images: Sequence[Picture], near: Sequence[Sequence[Box] | None]
    ) -> list[list[ReadPlate]]:
        """For each picture its plates: near these places, or everywhere.

        Args:
            images: HxWx3 uint8 BGR; planes too where it takes them.
        """

    def probe(self) -> None:
        """Reads what can be read in any case; raises whatever keeps it from that."""


@dataclass(frozen=True, slots=True)
class _Work:
    """A frame that can be read.

    ``took`` is when it was taken in, for the metrics; ``near`` where to look, None: everywhere.
    """

    delivery: PoolDelivery
    frame: Frame
    image: Picture
    took: float
    near: list[Box] | None = None


class Replica:
    """Reads batches of frames and publishes what they say.

    Of a file, no frames of a camera are to be taken while as many of its readings as may lie in
    Redis wait for `track` (``held_back``). What has been taken is published all the same: `track`
    may wait for it, and another replica would claim it.
    """

    def __init__(self, session: Session, reader: Reader, name: str) -> None:
        self._session = session
        self._reader = reader
        self._receiver = pixels.Receiver(session.settings.streams)
        self._name = name
        settings = session.settings.ocr
        self._expectations = Expectations(session.client, settings.whole_look_ms, settings.policy)
        self._unplanned: dict[str, list[str]] = {}  # of a batch: entries by camera
        self._trimmers: dict[str, streams.Trimmer] = {}
        self._next_look = 0.0
        self._said_at = -_SAY_S
        self._failed_in_a_row = 0

    def forget(self, cameras: Iterable[str]) -> None:
        """Drops what is known of cameras that are gone."""
        cameras = list(cameras)
        self._expectations.forget(cameras)
        for camera in cameras:
            self._trimmers.pop(camera, None)

    def let_go(self) -> None:
        """Lets go of shared memory that was removed."""
        self._receiver.let_go()

    def held_back(self) -> set[str]:
        """The cameras of which no frames are to be taken now."""
        full = {camera for camera, trimmer in self._trimmers.items() if trimmer.full}
        now = time.monotonic()
        if not full or now < self._next_look:
            return full
        self._next_look = now + _LOOK_S
        for camera in full:
            self._trimmers[camera].look()
        full = {camera for camera in full if self._trimmers[camera].full}
        if full and now - self._said_at >= _SAY_S:
            self._said_at = now
            self._session.log.warning(
                f"`track` is far behind for {', '.join(sorted(full))}: no more frames are read "
                "until it has caught up; is it running?"
            )
        return full

    def handle(self, deliveries: Sequence[PoolDelivery]) -> None:
        """Reads a batch, publishes its readings and acknowledges its frames.

        Readings and acknowledgements of one camera go together; an entry that is bad, or cannot
        be read, is put aside without the others.

        Raises:
            ReplicaError: Nothing can be read any more. What was not read is left to others.
        """
        self._unplanned = {}
        batch = [work for work in map(self._prepare, deliveries) if work is not None]
        self._pass_over_unplanned()
        if batch:
            # asks Redis: not where an error would be laid to a picture
            near = self._expectations.places([(one.delivery.camera, one.frame) for one in batch])
            pairs = zip(batch, near, strict=True)
            self._finish([replace(work, near=places) for work, places in pairs])

    def _finish(self, batch: Sequence[_Work]) -> None:
        try:
            readings = self._read(batch)
        except Exception as error:  # whatever a model may raise on a strange picture
            if len(batch) > 1:  # find out which of them it is
                for work in batch:
                    self._finish([work])
                return
            self._fail(batch[0], error)
            return
        self._failed_in_a_row = 0
        of: dict[tuple[str, str], list[tuple[_Work, Reading]]] = {}
        for work, reading in zip(batch, readings, strict=True):
            of.setdefault((work.delivery.camera, work.delivery.key), []).append((work, reading))
        for (camera, key), pairs in of.items():
            fields = [messages.reading_fields(reading) for _, reading in pairs]
            done_ids = [work.delivery.id for work, _ in pairs]
            published = streams.publish_readings(
                self._session.client, camera, fields, done_ids, source=key
            )
            self._trim(camera, fields)
            in_part = sum(not reading.whole for _, reading in pairs)
            self._session.count(camera, read_twice=len(pairs) - published, read_in_part=in_part)
            self._session.metrics.batch(camera, len(pairs))
            self._session.metrics.done(camera, pairs[0][0].took, len(pairs))

    def _trim(self, camera: str, published: Sequence[Mapping[str, str | bytes]]) -> None:
        trimmer = self._trimmers.get(camera)
        if trimmer is None:
            most_bytes = self._session.settings.streams.shares.readings
            trimmer = streams.readings_trimmer(self._session.client, camera, most_bytes)
            self._trimmers[camera] = trimmer
        lost = trimmer.added(len(published), sum(map(streams.size_of, published)))
        self._session.metrics.count(camera, trimmed_before_track=lost)

    def _prepare(self, delivery: PoolDelivery) -> _Work | None:
        """An entry's frame and picture; None if there is nothing to read: that is dealt with."""
        camera, client = delivery.camera, self._session.client
        if delivery.fields is None:
            if client.xack(delivery.key, streams.OCR, delivery.id):
                self._session.count(camera, trimmed_before_ocr=1)
            return None
        if delivery.deliveries > self._session.settings.ocr.max_deliveries:
            self._bury(delivery, f"handed out {delivery.deliveries - 1} times and never finished")
            return None
        try:
            frame = messages.parse_frame(delivery.fields)
            if isinstance(frame, End):
                client.xack(delivery.key, streams.OCR, delivery.id)
                return None
            if self._is_unplanned(delivery, frame):
                self._unplanned.setdefault(camera, []).append(delivery.id)
                return None
            taken = self._receiver.unpack if self._reader.takes_planes else self._receiver.bgr
            image = taken(frame.pixels, frame.width, frame.height)
        except OverwrittenError:
            # a file that was taken back (``streams.rewind``) has the frame under the same id, with
            # another picture, for whoever it is handed to then
            if streams.ack_as_it_was(client, delivery.key, streams.OCR, delivery):
                self._session.count(camera, overwritten_before_ocr=1)
            return None
        except MessageError as error:
            self._bury(delivery, str(error))
            return None
        except Exception as error:  # decoders raise all kinds of errors on damaged bytes
            self._bury(delivery, _said(error))
            return None
        # what is tried again was published long ago: that says nothing of the way here
        sent_at_ms = frame.published_at_ms if delivery.key == streams.frames_key(camera) else None
        return _Work(delivery, frame, image, self._session.metrics.took(camera, sent_at_ms))

    def _pass_over_unplanned(self) -> None:
        """Acknowledges and counts a batch's frames that are not to be read, all at once."""
        for camera, ids in self._unplanned.items():
            key = streams.frames_key(camera)
            done = self._session.client.xack(key, streams.OCR, *ids)
            self._session.count(camera, unread_by_plan=int(done))

    def _is_unplanned(self, delivery: PoolDelivery, frame: Frame) -> bool:
        """Whether it is of a file of which only some frames are read, and none of those."""
        is_retried = delivery.key != streams.frames_key(delivery.camera)
        every = self._session.settings.ocr.read_every
        return frame.mode == "file" and not is_retried and (frame.frame_id - 1) % every != 0

    def _read(self, batch: Sequence[_Work]) -> list[Reading]:
        began = time.monotonic()
        found = self._reader.read([work.image for work in batch], [work.near for work in batch])
        took_s = time.monotonic() - began
        readings = []
        for work, plates in zip(batch, found, strict=True):
            camera = work.delivery.camera
            reading = Reading(
                frame_id=work.frame.frame_id,
                captured_at_ms=work.frame.captured_at_ms,
                pts_s=work.frame.pts_s,
                replica=self._name,
                alphabet=self._reader.alphabet,
                whole=work.near is None,
                plates=tuple(self._with_crop(plate, camera) for plate in plates),
            )
            self._expectations.looked(camera, reading, took_s)
            readings.append(reading)
        return readings

    def _with_crop(self, read: ReadPlate, camera: str) -> Plate:
        """A plate as a message with its picture, which `track` cannot get from elsewhere."""
        plate = to_message(read)
        if not plate.raw:
            return plate
        crop = pixels.pack_crop(read.crop)
        if not crop:
            self._session.count(camera, crops_left_out=1)
        return plate.model_copy(update={"crop": crop})

    def _fail(self, work: _Work, error: Exception) -> None:
        """Tries a frame again, here and now, until it has been tried often enough.

        Raises:
            ReplicaError: It is not the frame's fault.
        """
        try:
            self._reader.probe()
        except Exception as found:
            raise ReplicaError(
                f"this replica cannot read any more ({_said(found)}): its frames are left to the "
                "others, and to it when it has been started again"
            ) from error
        tries = work.delivery.deliveries + 1
        if tries <= self._session.settings.ocr.max_deliveries:
            self._finish([replace(work, delivery=replace(work.delivery, deliveries=tries))])
            return
        is_retried = work.delivery.key != streams.frames_key(work.delivery.camera)
        self._failed_in_a_row += not is_retried  # those have failed elsewhere, too
        if self._failed_in_a_row > _MOST_IN_A_ROW:
            raise ReplicaError(
                f"this replica has put {_MOST_IN_A_ROW} frames aside and read none between them "
                f"({_said(error)}): it had better be started again"
            ) from error
        self._bury(work.delivery, _said(error))

    def _bury(self, delivery: PoolDelivery, error: str) -> None:
        buried = streams.publish_dead(
            self._session.client,
            delivery.camera,
            delivery,
            error,
            most_bytes=self._session.settings.streams.shares.dead,
            fields=self._with_own_pixels(delivery),
            source=delivery.key,
        )
        if buried:
            self._session.metrics.count(delivery.camera, dead=1)
            self._session.log.error(
                f"frame {delivery.frame_id} of camera '{delivery.camera}' is put aside as dead: "
                f"{error}"
            )

    def _with_own_pixels(self, delivery: PoolDelivery) -> dict[str, str | bytes] | None:
        """A frame's fields with its pixels as JPEG, so that they last and take little room.

        None if it is one already, or cannot be read: then what came is all there is to keep.
        """
        try:
            frame = messages.parse_frame(delivery.fields or {})
            if isinstance(frame, End) or frame.pixels.codec == "jpeg":
                return None
            quality = self._session.settings.streams.jpeg_quality
            return messages.frame_fields(self._receiver.detach(frame, quality))
        except Exception:  # as in _prepare
            return None


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
