"""Frames as visualize takes them in; what never comes, and what comes too late, is counted."""

from __future__ import annotations

from platestream import streams
from platestream.runtime import Session
from platestream.streams import Delivery, GroupConsumer

_BATCH = 4
_BLOCK_MS = 500
_MOST_PENDING = 10_000


class Intake:
    """visualize's place in ``frames``.

    Frame ids count up by one, so that a gap is what was trimmed before it was handed out. How far
    it has come is remembered over outages: where Redis comes back without its last moments, ids
    are missing that were there. Where capture of a live source was then started again, too, they
    begin again below what it has had: with frames that were captured later.
    """

    def __init__(self) -> None:
        self._newest_ms = 0  # when the newest frame that it was handed was captured
        self._last = 0  # frame that was handed out, or is known to be no loss
        self._session: Session
        self._consumer: GroupConsumer

    def join(self, session: Session) -> None:
        """Takes its place, at the start and whenever Redis was away.

        Raises:
            TakenOverError: Another has taken it.
        """
        client, camera = session.client, session.settings.camera
        key = streams.frames_key(camera)
        self._session = session
        self._consumer = GroupConsumer(
            client, key, streams.VISUALIZE, streams.VISUALIZE, session.owner
        )
        session.join(self._consumer)
        before = streams.last_handed_out(client, key, streams.VISUALIZE)
        self._last = max(self._last, before or streams.last_uncounted_frame(client, camera))

    def left(self) -> list[Delivery]:
        """What was handed to a visualize that died, and comes first."""
        return self._consumer.own_pending(_MOST_PENDING)

    def take(self) -> list[Delivery]:
        """New entries; of a live camera that it is too far behind of, the newest frames only."""
        deliveries = self._consumer.read(_BATCH, _BLOCK_MS)
        for delivery in deliveries:
            trimmed = delivery.frame_id - self._last - 1
            captured_ms = _captured_ms(delivery)
            if trimmed < 0 and captured_ms > self._newest_ms > 0:
                self._last = delivery.frame_id
            self._last = max(self._last, delivery.frame_id)
            self._newest_ms = max(self._newest_ms, captured_ms)
            if trimmed > 0:
                self._session.count(self._session.settings.camera, trimmed_before_visualize=trimmed)
        return self._skip(deliveries) if len(deliveries) == _BATCH else deliveries

    def done(self, ids: list[str], **counters: int) -> None:
        """Acknowledges entries, counts what became of them, and clears the list."""
        self._session.done(self._consumer, *ids, **counters)
        ids.clear()

    @property
    def key(self) -> str:
        """The stream that it reads."""
        return self._consumer.key

    def _skip(self, deliveries: list[Delivery]) -> list[Delivery]:
        """Leaves out live frames that are too far behind the newest.

        They are read all the same: what a frame's pixels cost to read is little beside drawing it,
        and so ends of recordings, and what a file left before a live recording, are not skipped.
        """
        camera = self._session.settings.camera
        newest = streams.newest_live_frame(self._session.client, camera)
        if newest is None:
            return deliveries
        oldest = newest - self._session.settings.visualize.live_backlog_frames
        old = [d for d in deliveries if d.frame_id <= oldest and _is_live(d)]
        if old:
            self._session.done(self._consumer, *[d.id for d in old], skipped_by_visualize=len(old))
        return [d for d in deliveries if d not in old]


def _captured_ms(delivery: Delivery) -> int:
    """When a live frame was captured; 0 for all else."""
    if not _is_live(delivery) or delivery.fields is None:
        return 0
    said = delivery.fields.get(b"captured_at_ms", b"")
    return streams.whole_number(said.decode("utf-8", "replace"))


def _is_live(delivery: Delivery) -> bool:
    return (delivery.fields or {}).get(b"mode") == b"live"
