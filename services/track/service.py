"""track: puts readings in frame order, follows plates over them, publishes tracks and passages.

A batch of readings is one transaction: what it publishes, what the tracker then remembers, and
that the readings are done with. A tracker that is killed therefore neither loses a passage nor
publishes one twice; the next one begins where the last transaction ended.
"""

from __future__ import annotations

import time

from platestream import messages, plate_messages, streams
from platestream.errors import MessageError
from platestream.messages import End, Reading, Tracks
from platestream.runtime import Session
from platestream.streams import Delivery, GroupConsumer, TrackerStep
from platestream.vision import plate_formats, tracking
from platestream.vision.tracking import Observation, Tracker
from services.track.frame_order import FrameOrder, Ordered
from services.track.memory import Memory, Position, restore

Fields = dict[str, str | bytes]
_Entry = tuple[str, Fields]

_BATCH = 64
_BLOCK_MS = 100
_QUIET_S = 3.0  # live: nothing read for so much longer than a plate needs to be gone


def run(session: Session) -> None:
    """Follows a camera's plates until the session is stopped.

    Raises:
        SettingsError: The plates file does not fit.
        WeightsError: The weights, for their plate formats, are missing or not ours.
        TakenOverError: Another tracker has taken the camera over.
    """
    camera = session.settings.camera
    consumer = GroupConsumer(
        session.client, streams.readings_key(camera), streams.TRACK, streams.TRACK, session.owner
    )
    session.join(consumer)
    service = _Service(session, consumer)
    held = "0"
    while deliveries := consumer.own_pending(_BATCH, held):  # of a tracker that died
        service.take(deliveries)
        held = deliveries[-1].id
    while not session.stopped():
        service.take(consumer.read(_BATCH, _BLOCK_MS))
        before, known, more = streams.look_around(session.client, camera, consumer, _BATCH)
        service.take(more)
        while len(more) == _BATCH:  # a long list: only what exceeds the limit goes
            service.step(0, known)
            more = consumer.read(_BATCH, None)
            service.take(more)
        # what OCR had finished by then has been handed out: nothing before is missing
        service.step(before, known)


class _Service:
    """A tracker between its streams."""

    def __init__(self, session: Session, consumer: GroupConsumer) -> None:
        self._session = session
        self._client = session.client
        self._camera = session.settings.camera
        self._consumer = consumer
        settings, ocr = session.settings.track, session.settings.ocr
        self._settings = tracking.TrackSettings(
            gone_after_ms=settings.gone_after_ms,
            least_readings=settings.least_readings,
            threshold=settings.threshold,
            formats=plate_formats.choose(ocr.recognizer_weights, ocr.plates_file),
        )
        self._tracker = Tracker(self._settings)
        written = streams.read_tracker(self._client, self._camera)
        try:
            self._position = restore(written, self._tracker)
        except MessageError as error:
            session.log.error(f"{error}; beginning anew")
            self._tracker = Tracker(self._settings)
            self._position = Position(streams.last_passage_id(self._client, self._camera))
        shares = session.settings.streams.shares
        self._memory = Memory(shares.tracker, written)
        self._trimmer = streams.TracksTrimmer(
            self._client,
            self._camera,
            tracks_bytes=shares.tracks,
            passages_bytes=shares.passages,
        )
        limit = max(settings.reorder_frames, session.settings.streams.window_frames)
        self._order = FrameOrder(limit, self._tracker.last_frame_id)
        self._useless: list[str] = []
        self._counters: dict[str, int] = {}
        self._quiet_since = time.monotonic()

    def take(self, deliveries: list[Delivery]) -> None:
        """Takes readings in, to wait for their turn."""
        for delivery in deliveries:
            if delivery.fields is None:
                self._count("trimmed_before_track")
                self._useless.append(delivery.id)
                continue
            try:
                reading = messages.parse_reading(delivery.fields)
            except MessageError as error:
                self._session.log.error(f"entry {delivery.id} of {self._consumer.key}: {error}")
                self._count("refused_by_track")
                self._useless.append(delivery.id)
                continue
            # an automatic entry id begins with the time by Redis's clock
            self._session.metrics.took(self._camera, streams.frame_id_of(delivery.id))
            if not self._order.add(reading, delivery.id, time.monotonic()):
                self._count("late_for_track")
                self._useless.append(delivery.id)

    def step(self, before: int, known: dict[str, str]) -> None:
        """Follows plates over the readings whose turn has come; ends a recording with its last.

        Args:
            before: No reading of an earlier frame is still to come.
            known: The camera's facts, as they were then.
        """
        now_s, took = time.monotonic(), time.perf_counter()
        live = known.get("mode") == "live"
        patience_s = self._session.settings.track.reorder_ms / 1000 if live else None
        ordered = self._order.take(before, now_s, patience_s)
        first_frame_id = int(known.get("first_frame_id", "0"))
        tracks: list[_Entry] = []
        passages: list[_Entry] = []
        for one in ordered:
            frame_id = one.reading.frame_id
            if self._tracker.last_frame_id < first_frame_id <= frame_id:
                self._pass(self._tracker.end(), passages)  # an older recording's
            step = self._tracker.update(
                frame_id,
                one.reading.captured_at_ms,
                self._observations(one.reading),
                pts_s=one.reading.pts_s,
            )
            self._pass(step.gone, passages)
            tracks.append((streams.entry_id(frame_id), self._tracks_fields(one.reading)))
        if ordered:
            self._quiet_since = now_s
        elif live and self._tracker.tracks:
            quiet_s = now_s - self._quiet_since
            if quiet_s > _QUIET_S + self._settings.gone_after_ms / 1000:
                gone = self._tracker.part(self._tracker.last_ms + round(1000 * quiet_s))
                self._pass(gone, passages)
        last = int(known.get("last_frame_id", "0"))
        over = known.get("ended") == "1" and self._position.ended_frame_id < last < before
        if over and not len(self._order):
            self._end(End(frame_id=last, frames=int(known.get("frames", "0"))), tracks, passages)
        self._commit(ordered, tracks, passages)
        if ordered:
            self._session.metrics.done(self._camera, took, len(ordered))

    def _end(
        self,
        end: End,
        tracks: list[_Entry],
        passages: list[_Entry],
    ) -> None:
        self._pass(self._tracker.end(), passages)
        tracks.append((streams.end_id(end.frame_id), messages.end_fields(end)))
        self._position.entries += 1
        passages.append((streams.entry_id(self._position.entries), messages.end_fields(end)))
        self._position.ended_frame_id = end.frame_id

    def _pass(
        self,
        gone: list[tracking.Track],
        passages: list[_Entry],
    ) -> None:
        for track in gone:
            self._position.entries += 1
            passage = plate_messages.to_passage(track, self._position.entries)
            passages.append(
                (streams.entry_id(passage.passage_id), messages.passage_fields(passage))
            )
            self._count("passages")
            if not passage.crop:
                self._count("passages_without_crop")

    def _observations(self, reading: Reading) -> list[Observation]:
        observations = []
        for plate in reading.plates:
            try:
                observations.append(plate_messages.to_observation(plate, reading.alphabet))
            except MessageError as error:
                self._session.log.error(f"a plate of frame {reading.frame_id}: {error}")
                self._count("refused_by_track")
        return observations

    def _tracks_fields(self, reading: Reading) -> Fields:
        tracks = Tracks(
            frame_id=reading.frame_id,
            captured_at_ms=reading.captured_at_ms,
            pts_s=reading.pts_s,
            tracks=tuple(plate_messages.to_track_state(t) for t in self._tracker.tracks),
        )
        return messages.tracks_fields(tracks)

    def _commit(self, ordered: list[Ordered], tracks: list[_Entry], passages: list[_Entry]) -> None:
        if not (ordered or tracks or passages or self._useless):
            return
        remembered, forgotten = self._memory.changes(self._tracker, self._position)
        done_ids = [one.stream_id for one in ordered] + self._useless
        step = TrackerStep(tracks, passages, remembered, forgotten, done_ids, self._counters)
        done = self._session.publish(
            self._camera,
            lambda: streams.publish_tracks(self._session.owner, self._camera, step),
            waits=True,
        )
        if not done:
            return  # stopped while Redis was full: it is all still to be done
        self._session.metrics.count(self._camera, **self._counters)
        self._memory.wrote(remembered, forgotten)
        self._trimmer.published(step)
        self._useless, self._counters = [], {}

    def _count(self, name: str) -> None:
        self._counters[name] = self._counters.get(name, 0) + 1
