"""What the tracker looks up, in one round trip; what it publishes and remembers, in another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from platestream.streams.cameras import as_text
from platestream.streams.connection import Client
from platestream.streams.group import Delivery, GroupConsumer, ask_unfinished, unfinished_of
from platestream.streams.keys import (
    OCR,
    TRACK,
    camera_key,
    counts_key,
    frame_id_of,
    frames_key,
    passages_key,
    readings_key,
    tracker_key,
    tracks_key,
)
from platestream.streams.limit import Limit, Trimmer, size_of
from platestream.streams.owner import Owner, in_parts
from platestream.streams.publishing import adding

MOST_STATES = 1_000
MOST_PASSAGES = 5_000


class Turn(NamedTuple):
    """What a tracker must know before a step.

    Attributes:
        before: The first frame that OCR was not done with.
        known: The camera's facts, as they were then.
        readings: What lay in the stream after that: where they are fewer than were asked for,
            every reading of an earlier frame has been handed out.
    """

    before: int
    known: dict[str, str]
    readings: list[Delivery]


def look_around(client: Client, camera: str, consumer: GroupConsumer, count: int) -> Turn:
    """Asks for all of it at once; Redis answers in the order of the questions.

    Args:
        consumer: The tracker's, of the camera's readings.
        count: At most so many readings.

    Raises:
        TakenOverError: Another tracker has taken the camera over.
    """
    key = frames_key(camera)
    pipeline = client.pipeline(transaction=False)
    ask_unfinished(pipeline, key, [OCR])
    pipeline.hgetall(camera_key(camera))
    readings = consumer.ask(pipeline, count)
    *unfinished, known, reply = pipeline.execute(raise_on_error=False)
    handed_out = readings(reply)
    if isinstance(known, Exception):
        raise known
    return Turn(unfinished_of(client, key, [OCR], unfinished), as_text(known), handed_out)


@dataclass(frozen=True, slots=True)
class TrackerStep:
    """What a tracker publishes and remembers of a batch of readings, all of it or nothing.

    Attributes:
        tracks: Entry ids and fields, in order.
        passages: The same.
        remembered: Fields of the tracker's hash that are new or have changed.
        forgotten: Fields that go.
        done_ids: The readings that it is done with.
        counters: What to add to the camera's counters.
    """

    tracks: Sequence[tuple[str, Mapping[Any, Any]]]
    passages: Sequence[tuple[str, Mapping[Any, Any]]]
    remembered: Mapping[Any, Any]
    forgotten: Sequence[str]
    done_ids: Sequence[str]
    counters: Mapping[str, int]


def publish_tracks(owner: Owner, camera: str, step: TrackerStep) -> None:
    """Publishes, remembers and acknowledges a tracker's step, all of it or nothing.

    What has been published before, under the same id, is refused by Redis and passed over. The
    streams are not trimmed: see ``TracksTrimmer``.

    Raises:
        TakenOverError: Another tracker has taken the camera over.
        OutOfMemoryError: Redis is full.
    """
    commands: list[list[Any]] = []
    for key, entries in (
        (tracks_key(camera), step.tracks),
        (passages_key(camera), step.passages),
    ):
        commands += [adding(key, stream_id, fields) for stream_id, fields in entries]
    remembered = [word for pair in step.remembered.items() for word in pair]
    commands += in_parts("HSET", tracker_key(camera), remembered)
    for name, amount in step.counters.items():
        if amount:
            commands.append(["HINCRBY", counts_key(camera), name, amount])
    commands += in_parts("HDEL", tracker_key(camera), step.forgotten)
    commands += in_parts("XACK", readings_key(camera), step.done_ids, TRACK)
    owner.do(*commands)


class TracksTrimmer:
    """Keeps a camera's tracks and passages under their limits, for the tracker."""

    def __init__(
        self, client: Client, camera: str, *, tracks_bytes: int, passages_bytes: int
    ) -> None:
        """Args: what they may take of Redis's memory."""
        tracks = Limit(tracks_bytes, MOST_STATES)
        passages = Limit(passages_bytes, MOST_PASSAGES)
        self._tracks = Trimmer(client, camera, tracks_key(camera), tracks)
        self._passages = Trimmer(client, camera, passages_key(camera), passages)

    def published(self, step: TrackerStep) -> None:
        """Trims, when it is time, after a step is published."""
        for trimmer, entries in ((self._tracks, step.tracks), (self._passages, step.passages)):
            if entries:
                trimmer.added(len(entries), sum(size_of(fields) for _, fields in entries))


def newest_tracks(client: Client, cameras: Sequence[str]) -> dict[str, dict[bytes, bytes] | None]:
    """The fields of the newest entry of each camera's tracks; None where there is none."""
    if not cameras:
        return {}
    pipeline = client.pipeline(transaction=False)
    for camera in cameras:
        pipeline.xrevrange(tracks_key(camera), count=1)
    replies = cast("Any", pipeline.execute())
    return {
        camera: rows[0][1] if rows else None for camera, rows in zip(cameras, replies, strict=True)
    }


def read_tracker(client: Client, camera: str) -> dict[str, bytes]:
    """What the last tracker of a camera remembered; empty if nothing."""
    raw = cast("dict[bytes, bytes]", client.hgetall(tracker_key(camera)))
    return {k.decode("utf-8", "replace"): v for k, v in raw.items()}


def last_passage_id(client: Client, camera: str) -> int:
    """The number of the last entry of a camera's passages; 0 if there is none."""
    rows = cast("Any", client.xrevrange(passages_key(camera), count=1))
    return frame_id_of(rows[0][0]) if rows else 0
