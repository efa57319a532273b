"""ocr: takes frames of all cameras, finds and reads their plates, publishes readings.

A replica is one of a pool: replicas come and go, and each serves every camera in turn.
"""

from __future__ import annotations

import time

from platestream import pixels, streams
from platestream.runtime import Session
from platestream.settings import OcrSettings
from platestream.streams import PoolConsumer
from platestream.vision.reader import PlateReader
from services.ocr.presence import Presence
from services.ocr.replica import Replica

_BLOCK_MS = 250
_LOOK_S = 1.0  # how often cameras are looked for, and dead frames that are to be tried again
_CLAIM_S = 0.25
_REMOVE_S = 10.0
GONE_AFTER_MS = 60_000  # a consumer that is not heard of for so long and holds nothing


class Ocr:
    """Keeps the networks while Redis is away and comes back."""

    def __init__(self) -> None:
        self._reader: PlateReader | None = None

    def run(self, session: Session) -> None:
        """Reads frames until the session is stopped.

        Raises:
            WeightsError: Weights are missing or not ours.
            SettingsError: The device is not there, or the plates file does not fit.
        """
        settings = session.settings.ocr
        if self._reader is None:
            with session.loading("networks are being loaded"):
                self._reader = _load(settings)
        name = settings.name or session.replica_name()
        presence = Presence(session.client, name)
        presence.start()
        try:
            pool = _Pool(session, PoolConsumer(session.client, name, settings.policy), presence)
            pool.work(Replica(session, self._reader, name))
        finally:
            presence.stop()


def _load(settings: OcrSettings) -> PlateReader:
    return PlateReader.load(
        detector_weights=settings.detector_weights,
        recognizer_weights=settings.recognizer_weights,
        backend=settings.backend,
        device=settings.device,
        threads=1 if settings.threads is None else settings.threads,
        precision=settings.precision,
        threshold=settings.threshold,
        plates_file=settings.plates_file,
        tile=settings.tile,
        video=True,
    )


class _Pool:
    """A replica's turns: cameras looked for, frames claimed, tried again, taken."""

    def __init__(self, session: Session, consumer: PoolConsumer, presence: Presence) -> None:
        self._session = session
        self._settings = session.settings.ocr
        self._consumer = consumer
        self._presence = presence
        self._next_look = self._next_claim = 0.0
        self._next_removal = time.monotonic()

    def work(self, replica: Replica) -> None:
        """Serves cameras until the session is stopped."""
        self._look(replica)
        self._session.log.info(f"replica is ready; serves {len(self._consumer.cameras)} cameras")
        while not self._session.stopped():
            now = time.monotonic()
            if now >= self._next_look:
                self._look(replica)
            if now >= self._next_claim:
                self._claim(replica)
            if now >= self._next_removal:
                self._remove_gone(replica)
            self._consumer.held_back = replica.held_back()
            taken = self._consumer.take(self._settings.batch, _BLOCK_MS)
            for camera, skipped in self._consumer.skipped.items():
                self._session.metrics.count(camera, skipped_by_ocr=skipped)
            self._consumer.skipped.clear()
            for first in range(0, len(taken), self._settings.batch):
                with self._presence.batch():
                    replica.handle(taken[first : first + self._settings.batch])
        self._consumer.leave()

    def _look(self, replica: Replica) -> None:
        """Serves the cameras that there are now, and tries what is to be tried again."""
        wanted = self._settings.cameras or streams.registered_cameras(self._session.client)
        new, gone = self._consumer.serve(wanted)
        replica.forget(gone)
        if new or gone:
            self._session.serves(wanted)
            self._session.log.info(f"cameras new: {new or 'none'}; gone: {gone or 'none'}")
        for delivery in self._consumer.own_pending(new):  # handed to this name before it restarted
            with self._presence.batch():
                replica.handle([delivery])
        retried = self._consumer.retried()
        for delivery in retried:  # alone, each of them: it has failed before
            with self._presence.batch():
                replica.handle([delivery])
        self._next_look = time.monotonic() + (0.0 if retried else _LOOK_S)

    def _claim(self, replica: Replica) -> None:
        """Takes over one frame of a replica that is gone; alone, for it may be why it is gone."""
        after_ms = self._presence.claim_after_ms(self._settings.claim_after_ms)
        claimed, lost = self._consumer.claim(after_ms)
        for camera, frames in lost.items():
            self._session.count(camera, trimmed_before_ocr=frames)
        for delivery in claimed:
            self._session.count(delivery.camera, claimed_by_ocr=1)
            with self._presence.batch():
                replica.handle([delivery])
        self._next_claim = time.monotonic() + (0.0 if claimed else _CLAIM_S)

    def _remove_gone(self, replica: Replica) -> None:
        """Takes replicas that are gone out of the groups, once what they held has been claimed.

        Rings of cameras that are gone go too: replicas read on every host that has rings.
        """
        cameras = self._consumer.cameras
        keys = [key(c) for c in cameras for key in (streams.frames_key, streams.retry_key)]
        streams.remove_gone(self._session.client, keys, GONE_AFTER_MS, self._presence.living)
        served = {*cameras, *streams.registered_cameras(self._session.client)}
        pixels.remove_left(self._session.client, self._session.settings, served)
        replica.let_go()
        self._next_removal = time.monotonic() + _REMOVE_S
