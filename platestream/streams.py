"""Redis Streams: keys, producers, consumer groups, back-pressure, claims; nothing else speaks them.

``frames`` and ``rendered`` have one producer per camera and use the frame id as entry id
(``<frame_id>-0``, and ``<last frame_id>-1`` for the end of a recording): a frame is found by its
id, and a producer that repeats itself is refused.
``readings`` come from many replicas, out of order, under automatic ids. ``tracks`` have the frame
id as entry id again; ``passages`` are numbered, ``<number>-0``.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from platestream.errors import RedisError

OCR = "ocr"
VISUALIZE = "visualize"
WRITER = "writer"
TRACK = "track"

OUTAGE = (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError)
"""What redis-py raises while the server is away or still loading: worth waiting for."""

CAMERAS_KEY = "cameras"
READINGS_KEPT = 20_000  # at most; fewer where they are large
READINGS_BUDGET = 64 * 2**20  # bytes
READINGS_LEAST = 512  # whatever their size: what is under way must not be lost
TRACKS_KEPT = 2_000
PASSAGES_KEPT = 5_000  # of some 5 kB, most of it the picture
DEAD_KEPT = 1_000

_ROOM_POLL_S = 0.003

_SKIP_TO_NEWEST = """
local head = tonumber(redis.call('HGET', KEYS[2], 'last_frame_id') or '0')
local target = head - tonumber(ARGV[2])
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local facts = {}
  for i = 1, #group, 2 do facts[group[i]] = group[i + 1] end
  if facts['name'] == ARGV[1] then
    local delivered = tonumber(string.match(facts['last-delivered-id'], '^%d+'))
    if target > delivered then
      redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], string.format('%d-0', target))
      return target - math.max(delivered, tonumber(ARGV[3]) - 1)
    end
  end
end
return 0
"""


def frames_key(camera: str) -> str:
    """The stream of a camera's frames; the braces keep a camera in one cluster slot."""
    return f"frames:{{{camera}}}"


def readings_key(camera: str) -> str:
    """The stream of a camera's readings."""
    return f"readings:{{{camera}}}"


def tracks_key(camera: str) -> str:
    """The stream of a camera's tracks after every reading."""
    return f"tracks:{{{camera}}}"


def passages_key(camera: str) -> str:
    """The stream of a camera's passages: plates that have gone."""
    return f"passages:{{{camera}}}"


def tracker_key(camera: str) -> str:
    """The hash in which the tracker keeps what it knows, for the next tracker."""
    return f"tracker:{{{camera}}}"


def rendered_key(camera: str) -> str:
    """The stream of a camera's frames with their overlays drawn."""
    return f"rendered:{{{camera}}}"


def dead_key(camera: str) -> str:
    """The stream of frames that no replica could read, with the error of each."""
    return f"dead:{{{camera}}}"


def camera_key(camera: str) -> str:
    """The hash of what is known of a camera: source, mode, size, rate, last frame id, …"""
    return f"camera:{{{camera}}}"


def counts_key(camera: str) -> str:
    """The hash of a camera's counters: frames in, skipped and why, dead, written, …"""
    return f"counts:{{{camera}}}"


def recording_key(camera: str) -> str:
    """The hash in which the writer keeps what it is writing, for the next writer."""
    return f"recording:{{{camera}}}"


def camera_keys(camera: str) -> list[str]:
    """All keys of a camera."""
    makers = (
        frames_key,
        readings_key,
        tracks_key,
        passages_key,
        tracker_key,
        rendered_key,
        dead_key,
        camera_key,
        counts_key,
        recording_key,
    )
    return [make(camera) for make in makers]


def connect(url: str, *, timeout_s: float = 15.0) -> redis.Redis:
    """Makes a client; it connects when it is first used, and again after a lost connection.

    Args:
        url: ``redis://host:6379/0``, ``rediss://…`` or ``unix:///path/redis.sock``.
        timeout_s: How long an answer may take; blocking reads must be shorter.

    Raises:
        RedisError: The URL is not one.
    """
    try:
        return redis.Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=3.0,
            retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), retries=2),
        )
    except ValueError as error:
        raise RedisError(f"'{url}' is not a Redis URL: {error}") from error


def entry_id(frame_id: int) -> str:
    """The entry id of a frame in ``frames`` and ``rendered``."""
    return f"{frame_id}-0"


def end_id(last_frame_id: int) -> str:
    """The entry id of the end of a recording in ``frames`` and ``rendered``."""
    return f"{last_frame_id}-1"


def frame_id_of(stream_id: str | bytes) -> int:
    """The frame id of an entry id of ``frames`` or ``rendered``."""
    text = stream_id.decode() if isinstance(stream_id, bytes) else stream_id
    return int(text.split("-", 1)[0])


def ensure_group(client: redis.Redis, key: str, group: str) -> None:
    """Makes a consumer group that starts at the stream's first entry, if it is not there."""
    with contextlib.suppress(redis.ResponseError):  # BUSYGROUP: it is there
        client.xgroup_create(key, group, id="0", mkstream=True)


def publish(
    client: redis.Redis,
    key: str,
    stream_id: str,
    fields: Mapping[Any, Any],
    *,
    max_entries: int | None = None,
) -> bool:
    """Adds an entry to ``frames`` or ``rendered`` under an id of the producer's.

    Args:
        max_entries: Trims the stream to so many entries (live mode's byte budget, in entries).

    Returns:
        False if the stream has this id or a later one already: it was published before.
    """
    try:
        client.xadd(
            key,
            dict(fields),
            id=stream_id,
            maxlen=max_entries,
            approximate=False,
        )
    except redis.ResponseError as error:
        if "equal or smaller" in str(error):
            return False
        raise
    return True


def note_captured(client: redis.Redis, camera: str, frame_id: int) -> None:
    """Says that a frame is out: the camera's last one, and one more in its counter."""
    pipeline = client.pipeline(transaction=False)
    pipeline.hset(camera_key(camera), "last_frame_id", str(frame_id))
    pipeline.hincrby(counts_key(camera), "frames_in", 1)
    pipeline.execute()


def publish_readings(
    client: redis.Redis,
    camera: str,
    readings: Sequence[Mapping[Any, Any]],
    done_ids: Sequence[str],
) -> None:
    """Publishes a batch's readings and acknowledges their frames, in one transaction.

    The stream is trimmed to as many of the largest of them as ``READINGS_BUDGET`` holds.
    """
    pipeline = client.pipeline(transaction=True)
    largest = max((sum(len(v) for v in fields.values()) for fields in readings), default=1)
    kept = min(READINGS_KEPT, max(READINGS_LEAST, READINGS_BUDGET // max(1, largest)))
    for fields in readings:
        pipeline.xadd(
            readings_key(camera),
            dict(fields),
            maxlen=kept,
            approximate=True,
        )
    if readings:
        pipeline.hincrby(counts_key(camera), "readings", len(readings))
    if done_ids:
        pipeline.xack(frames_key(camera), OCR, *done_ids)
    pipeline.execute()


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


def publish_tracks(client: redis.Redis, camera: str, step: TrackerStep) -> None:
    """Publishes, remembers and acknowledges a tracker's step in one transaction.

    What has been published before, under the same id, is refused by Redis and passed over.
    """
    pipeline = client.pipeline(transaction=True)
    for key, entries, kept in (
        (tracks_key(camera), step.tracks, TRACKS_KEPT),
        (passages_key(camera), step.passages, PASSAGES_KEPT),
    ):
        for stream_id, fields in entries:
            pipeline.xadd(key, dict(fields), id=stream_id, maxlen=kept, approximate=True)
    if step.remembered:
        pipeline.hset(tracker_key(camera), mapping=dict(step.remembered))
    if step.forgotten:
        pipeline.hdel(tracker_key(camera), *step.forgotten)
    if step.done_ids:
        pipeline.xack(readings_key(camera), TRACK, *step.done_ids)
    for name, amount in step.counters.items():
        if amount:
            pipeline.hincrby(counts_key(camera), name, amount)
    for reply in pipeline.execute(raise_on_error=False):
        if isinstance(reply, Exception) and "equal or smaller" not in str(reply):
            raise reply


def read_tracker(client: redis.Redis, camera: str) -> dict[str, bytes]:
    """What the last tracker of a camera remembered; empty if nothing."""
    raw = cast("dict[bytes, bytes]", client.hgetall(tracker_key(camera)))
    return {k.decode("utf-8", "replace"): v for k, v in raw.items()}


def last_passage_id(client: redis.Redis, camera: str) -> int:
    """The number of the last entry of a camera's passages; 0 if there is none."""
    rows = cast("Any", client.xrevrange(passages_key(camera), count=1))
    return frame_id_of(rows[0][0]) if rows else 0


def publish_dead(client: redis.Redis, camera: str, delivery: Delivery, error: str) -> None:
    """Puts a frame that cannot be read aside, with its error, and acknowledges it."""
    fields = {"error": error[:2000], "deliveries": str(delivery.deliveries)}
    kept = {k.decode(): v for k, v in delivery.fields.items()} if delivery.fields else {}
    pipeline = client.pipeline(transaction=True)
    pipeline.xadd(
        dead_key(camera),
        cast("dict[Any, Any]", {"frame_id": str(delivery.frame_id)} | kept | fields),
        maxlen=DEAD_KEPT,
        approximate=True,
    )
    pipeline.hincrby(counts_key(camera), "dead", 1)
    pipeline.xack(frames_key(camera), OCR, delivery.id)
    pipeline.execute()


def count(client: redis.Redis, camera: str, **counters: int) -> None:
    """Adds to a camera's counters; zeros are left out."""
    pipeline = client.pipeline(transaction=False)
    for name, amount in counters.items():
        if amount:
            pipeline.hincrby(counts_key(camera), name, amount)
    pipeline.execute()


def read_hash(client: redis.Redis, key: str) -> dict[str, str]:
    """A hash as text; empty if there is none."""
    raw = cast("dict[bytes, bytes]", client.hgetall(key))
    return {k.decode("utf-8", "replace"): v.decode("utf-8", "replace") for k, v in raw.items()}


@dataclass(frozen=True, slots=True)
class Delivery:
    """An entry as handed to a consumer.

    Attributes:
        fields: None where the entry was trimmed before it could be read.
        deliveries: How often it has been handed out, this time included.
    """

    id: str
    fields: dict[bytes, bytes] | None
    deliveries: int = 1

    @property
    def frame_id(self) -> int:
        """The frame's id, for streams whose entry ids are frame ids."""
        return frame_id_of(self.id)


class GroupConsumer:
    """One consumer of a group on one stream."""

    def __init__(self, client: redis.Redis, key: str, group: str, name: str) -> None:
        self._client = client
        self.key = key
        self.group = group
        self.name = name

    def join(self) -> None:
        """Makes the stream and the group where they are missing."""
        ensure_group(self._client, self.key, self.group)

    def leave(self) -> None:
        """Takes this consumer out of its group, unless it still holds entries."""
        held = cast("Any", self._client.xpending_range)(
            self.key, self.group, "-", "+", 1, consumername=self.name
        )
        if not held:
            self._client.xgroup_delconsumer(self.key, self.group, self.name)

    def read(self, count: int, block_ms: int | None) -> list[Delivery]:
        """Takes up to ``count`` new entries; waits up to ``block_ms`` for the first of them."""
        return self._read(">", count, block_ms)

    def own_pending(self, count: int, after: str = "0") -> list[Delivery]:
        """What was handed to a consumer of this name before and never acknowledged.

        Args:
            after: Only entries after this id, so that long lists can be gone through in parts.
        """
        deliveries = self._read(after, count, None)
        if not deliveries:
            return []
        times = self._times_delivered(deliveries[0].id, deliveries[-1].id, len(deliveries))
        return [Delivery(d.id, d.fields, times.get(d.id, 2)) for d in deliveries]

    def claim(self, min_idle_ms: int, count: int) -> tuple[list[Delivery], int]:
        """Takes over entries that another consumer has held for too long.

        Returns:
            The entries, and how many pending ones had been trimmed and are lost. Redis 7 names
            the lost in its reply and drops them itself; 6.2 answers nil in their place and
            leaves them pending, so they are looked up and acknowledged here.
        """
        reply = self._client.xautoclaim(
            self.key, self.group, self.name, min_idle_ms, start_id="0-0", count=count
        )
        claimed = [(i, f) for i, f in reply[1] if i is not None and f is not None]
        lost = len(reply[2]) if len(reply) > 2 and reply[2] else 0
        if len(claimed) < len(reply[1]):
            lost += self._drop_trimmed()
        if not claimed:
            return [], lost
        ids = [i.decode() for i, _ in claimed]
        times = self._times_delivered(ids[0], ids[-1], 10 * len(ids))
        return [
            Delivery(i, fields, times.get(i, 2))
            for i, (_, fields) in zip(ids, claimed, strict=True)
        ], lost

    def ack(self, *ids: str) -> None:
        """Says that entries are done with."""
        if ids:
            self._client.xack(self.key, self.group, *ids)

    def skip_to_newest(self, camera: str, keep: int) -> int:
        """Passes over all but the newest ``keep`` frames that nobody of the group has taken.

        One Lua script, so that two replicas cannot set the group back. Returns how many frames
        were passed over; the caller counts them.
        """
        first = self._client.hget(camera_key(camera), "first_frame_id") or b"1"
        return int(
            cast(
                "Any",
                self._client.eval(
                    _SKIP_TO_NEWEST,
                    2,
                    self.key,
                    camera_key(camera),
                    self.group,
                    str(keep),
                    cast("bytes", first).decode(),
                ),
            )
        )

    def _read(self, start: str, count: int, block_ms: int | None) -> list[Delivery]:
        reply = cast(
            "Any",
            self._client.xreadgroup(
                self.group, self.name, {self.key: start}, count=count, block=block_ms
            ),
        )
        return [
            Delivery(i.decode(), fields or None)
            for _, entries in _streams_of(reply)
            for i, fields in entries
        ]

    def _times_delivered(self, first: str, last: str, count: int) -> dict[str, int]:
        rows = cast("Any", self._client.xpending_range)(
            self.key, self.group, first, last, count, consumername=self.name
        )
        return {row["message_id"].decode(): int(row["times_delivered"]) for row in rows}

    def _drop_trimmed(self) -> int:
        rows = cast("Any", self._client.xpending_range)(
            self.key, self.group, "-", "+", 1000, consumername=self.name
        )
        ids = [row["message_id"].decode() for row in rows]
        gone = [i for i in ids if not self._client.xrange(self.key, i, i, count=1)]
        self.ack(*gone)
        return len(gone)


def _streams_of(reply: Any) -> Iterable[tuple[Any, list[Any]]]:
    """Entries per stream, whichever of redis-py's reply shapes (RESP2, RESP3) it is."""
    if not reply:
        return ()
    if isinstance(reply, dict):
        return ((key, chunk[0] if chunk and isinstance(chunk[0], list) else chunk)
                for key, chunk in reply.items())  # fmt: skip
    return ((key, entries) for key, entries in reply)


class Follower:
    """Reads a stream as it grows, outside any group, without ever waiting."""

    def __init__(self, client: redis.Redis, key: str, *, since_last: int = 0) -> None:
        """Begins at the stream's beginning, or ``since_last`` entries before its end."""
        self._client = client
        self._key = key
        self._last = "0-0"
        self._backlog: list[dict[bytes, bytes]] = []
        if since_last:
            rows = cast("Any", client.xrevrange(self._key, count=since_last))
            if rows:
                self._last = rows[0][0].decode()
                self._backlog = [fields for _, fields in reversed(rows)]

    def read(self, count: int = 256) -> list[dict[bytes, bytes]]:
        """New entries' fields since the last call, oldest first, ``count`` at most."""
        if self._backlog:
            backlog, self._backlog = self._backlog, []
            return backlog
        reply = cast("Any", self._client.xread({self._key: self._last}, count=count))
        fields = []
        for _, entries in _streams_of(reply):
            for stream_id, entry in entries:
                self._last = stream_id.decode()
                fields.append(entry)
        return fields


class Window:
    """File mode's back-pressure: how far a producer may run ahead of its slowest group."""

    def __init__(
        self, client: redis.Redis, key: str, groups: Sequence[str], frames: int, first: int
    ) -> None:
        """Makes the groups where they are missing, so that none misses the first frame.

        Args:
            frames: How many frames may lie in the stream that some group is not done with.
            first: The first frame id of the recording; a new group waits for none before it.
        """
        self._client = client
        self._key = key
        self._groups = list(groups)
        self._frames = max(1, frames)
        self._lowest = first
        for group in self._groups:
            ensure_group(client, key, group)

    def wait_for_room(self, frame_id: int, stopped: Callable[[], bool]) -> bool:
        """Waits until a frame may be published, and trims what every group is done with.

        Returns:
            False if ``stopped`` said so before there was room.
        """
        while self._groups and frame_id - self._lowest >= self._frames:
            lowest = min(first_unfinished(self._client, self._key, g) for g in self._groups)
            if lowest > self._lowest:
                # an end may lie between the last frame done and the next: it stays
                self._client.xtrim(self._key, minid=end_id(lowest - 1), approximate=False)
                self._lowest = lowest
            elif stopped():
                return False
            else:
                time.sleep(_ROOM_POLL_S)
        return True


def first_unfinished(client: redis.Redis, key: str, group: str) -> int:
    """The lowest frame id that a group has not acknowledged, whether or not it has come yet."""
    facts = group_facts(client, key).get(group)
    if facts is None:  # the server lost it (a restart without persistence): make it anew
        ensure_group(client, key, group)
        return 0
    if facts["pending"]:
        summary = cast("Any", client.xpending(key, group))
        if summary["min"] is not None:
            return frame_id_of(summary["min"])
    return frame_id_of(facts["last-delivered-id"]) + 1


def group_facts(client: redis.Redis, key: str) -> dict[str, dict[str, Any]]:
    """``XINFO GROUPS`` by group name; empty if the stream is not there."""
    try:
        rows = client.xinfo_groups(key)
    except redis.ResponseError:
        return {}
    return {cast("bytes", row["name"]).decode(): row for row in rows}


def last_frame_id(client: redis.Redis, camera: str) -> int:
    """The last frame id that a camera has used; 0 if none. Ids go on from it for ever."""
    value = cast("bytes | None", client.hget(camera_key(camera), "last_frame_id"))
    known = int(value) if value else 0
    rows = cast("Any", client.xrevrange(frames_key(camera), count=1))
    return max(known, frame_id_of(rows[0][0])) if rows else known


def register_camera(client: redis.Redis, camera: str, **facts: str) -> None:
    """Notes what is known of a camera, for the other services and for ``status``."""
    client.sadd(CAMERAS_KEY, camera)
    client.hset(camera_key(camera), mapping=dict[Any, Any](facts))


def forget_camera(client: redis.Redis, camera: str) -> None:
    """Deletes a camera's streams and counters; its frame ids still go on from the last."""
    last = last_frame_id(client, camera)
    pipeline = client.pipeline(transaction=True)
    pipeline.delete(*camera_keys(camera))
    if last:
        pipeline.hset(camera_key(camera), "last_frame_id", str(last))
    pipeline.execute()
