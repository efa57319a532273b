"""A consumer of many cameras at once: the OCR pool's way of taking frames, in turn and fairly."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

import redis

from platestream.streams.connection import Client
from platestream.streams.group import SKIP_TO_NEWEST, Delivery, GroupConsumer, ensure_group
from platestream.streams.keys import (
    OCR,
    camera_key,
    counts_key,
    frame_id_of,
    frames_key,
    retry_key,
)
from platestream.streams.replies import streams_of

Policy = Literal["auto", "every", "newest"]

_CLUSTER_POLL_S = 0.01
_HELD_LOOKED_AT = 16
_LIVE_S = 5.0  # after a live camera's last frame files may fill batches again
_AHEAD_LOOK_S = 5.0


@dataclass(frozen=True, slots=True)
class PoolDelivery(Delivery):
    """An entry as handed to a consumer of several cameras.

    Attributes:
        camera: Whose it is.
        key: The stream it lies in: the camera's ``frames``, or ``retry``.
    """

    camera: str = ""
    key: str = ""

    @property
    def frame_id(self) -> int:
        """The frame's id: in ``retry`` entry ids are not frame ids, but the entry says it."""
        said = (self.fields or {}).get(b"frame_id", b"")
        if self.key == retry_key(self.camera) and said.isdigit() and len(said) < 20:
            return int(said)
        return frame_id_of(self.id)


class PoolConsumer:
    """One consumer of OCR's group on the frames of many cameras.

    Cameras take turns: the one that was served longest ago comes first, and a batch is shared out
    among those that have frames waiting. A camera that has one now and then therefore waits for
    the batch under way and no longer, however many frames another has. While live cameras have
    frames, a file gives one to a batch and no more: it would fill batches, for which they wait,
    and nobody waits for the file by the second.

    Attributes:
        held_back: Cameras of which no new frames are taken, for the time being.
        skipped: Frames that were passed over for newer ones, by camera, since the caller last
            cleared it.
    """

    def __init__(self, client: Client, name: str, policy: Policy = "auto") -> None:
        """Serves no camera yet.

        Args:
            policy: Which frames to take: ``every`` one, the ``newest`` of each camera, or, with
                ``auto``, the newest of those that are live.
        """
        self._client = client
        self._name = name
        self._policy = policy
        self._clustered = isinstance(client, redis.RedisCluster)
        self._served: dict[str, int] = {}  # camera: when, counted in turns
        self._turns = itertools.count(1)
        self._newest_only: set[str] = set()
        self._live_at = -_LIVE_S  # when a live camera last had a frame
        self._ahead: dict[tuple[Any, ...], float] = {}  # since when, by the monotonic clock
        self._next_ahead = 0.0
        self.held_back: set[str] = set()
        self.skipped: dict[str, int] = {}

    @property
    def cameras(self) -> list[str]:
        """The cameras it serves."""
        return list(self._served)

    def serve(self, cameras: Iterable[str]) -> tuple[list[str], list[str]]:
        """Serves these cameras from now on, and no others.

        Returns:
            Those that are new, and those that are gone.
        """
        wanted = set(cameras)
        new = sorted(wanted - set(self._served))
        gone = sorted(set(self._served) - wanted)
        for camera in new:
            ensure_group(self._client, frames_key(camera), OCR)
            self._served[camera] = 0
        for camera in gone:
            self._leave(camera)
            del self._served[camera]
        self._look_at_modes()
        return new, gone

    def leave(self) -> None:
        """Leaves all groups, but for those where it still holds entries."""
        for camera in self._served:
            self._leave(camera)

    def take(self, count: int, block_ms: int) -> list[PoolDelivery]:
        """Takes new frames, shared out among the cameras that have some.

        Args:
            count: At most so many; after a wait, one of each camera that has one then.
            block_ms: How long to wait if there are none.
        """
        return self._take(count) or self._wait(count, block_ms)

    def own_pending(self, cameras: Iterable[str]) -> Iterator[PoolDelivery]:
        """What was handed to a consumer of this name before it was started again.

        One by one: asking for an entry counts as a delivery, and one that kills its reader must
        not take others along.
        """
        for camera in cameras:
            for key in (frames_key(camera), retry_key(camera)):
                consumer = self._consumer(key)
                after = "0"
                while found := self._own(consumer, after):
                    yield self._of(camera, key, found)
                    after = found.id

    def claim(self, min_idle_ms: int) -> tuple[list[PoolDelivery], dict[str, int]]:
        """Takes over an entry that another consumer has held for too long: one, for that reason.

        Returns:
            It, if there is one; and by camera how many had been trimmed and are lost.
        """
        keys = [(c, key) for c in self.cameras for key in (frames_key(c), retry_key(c))]
        pipeline = self._client.pipeline(transaction=False)
        for _, key in keys:
            pipeline.xpending_range(key, OCR, "-", "+", _HELD_LOOKED_AT, idle=min_idle_ms)
        lost: dict[str, int] = {}
        for (camera, key), rows in zip(keys, self._execute(pipeline), strict=True):
            for row in rows or ():
                start = row["message_id"].decode()
                claimed, trimmed = self._consumer(key).claim(min_idle_ms, 1, start)
                if trimmed:
                    lost[camera] = lost.get(camera, 0) + trimmed
                if claimed:
                    return [self._of(camera, key, claimed[0])], lost
        return self._claim_ahead(keys, min_idle_ms), lost

    def _claim_ahead(self, keys: list[tuple[str, str]], min_idle_ms: int) -> list[PoolDelivery]:
        """The same of what was handed out at a time to come: Redis's clock was set back since.

        Redis says of it that it has been held for no time, until its clock is there again; how
        long it is, is told by our own.
        """
        now = time.monotonic()
        if now < self._next_ahead:
            return []
        self._next_ahead = now + _AHEAD_LOOK_S
        pipeline = self._client.pipeline(transaction=False)
        for _, key in keys:
            pipeline.xpending_range(key, OCR, "-", "+", _HELD_LOOKED_AT)
        before, self._ahead, found = self._ahead, {}, []
        for (camera, key), rows in zip(keys, self._execute(pipeline), strict=True):
            for row in rows or ():
                if row["time_since_delivered"] <= 0:
                    held = (key, *(row[k] for k in ("message_id", "consumer", "times_delivered")))
                    since = self._ahead[held] = before.get(held, now)
                    if now - since >= max(_AHEAD_LOOK_S, min_idle_ms / 1000):
                        found.append((camera, key, row["message_id"].decode()))
        for camera, key, start in found:
            claimed, _ = self._consumer(key).claim(0, 1, start)
            if claimed:
                self._next_ahead = 0.0  # there may be more
                return [self._of(camera, key, claimed[0])]
        return []

    def retried(self) -> list[PoolDelivery]:
        """Takes dead frames that are to be tried again: one of each camera at most."""
        cameras = self.cameras
        pipeline = self._client.pipeline(transaction=False)
        for camera in cameras:
            pipeline.xreadgroup(OCR, self._name, {retry_key(camera): ">"}, count=1)
        return [
            self._of(camera, retry_key(camera), delivery)
            for camera, reply in zip(cameras, self._execute(pipeline), strict=True)
            for delivery in _deliveries(reply)
        ]

    def _look_at_modes(self) -> None:
        """Finds the cameras of which only the newest frame counts."""
        cameras = self.cameras
        if self._policy != "auto":
            self._newest_only = set(cameras) if self._policy == "newest" else set()
            return
        pipeline = self._client.pipeline(transaction=False)
        for camera in cameras:
            pipeline.hget(camera_key(camera), "mode")
        modes = zip(cameras, pipeline.execute(), strict=True)
        self._newest_only = {camera for camera, mode in modes if mode == b"live"}

    def _take(self, count: int) -> list[PoolDelivery]:
        taken: list[PoolDelivery] = []
        waiting = sorted(self._asked(), key=self._served.__getitem__)
        one_each = time.monotonic() - self._live_at < _LIVE_S
        while waiting and (room := count - len(taken)) > 0:
            asked, later = waiting[:room], waiting[room:]
            share = room // len(asked)
            counts = {c: 1 if one_each or c in self._newest_only else share for c in asked}
            got = self._read(counts)
            for deliveries in got.values():
                taken += deliveries
            if one_each:
                waiting = later
                continue
            more = (c for c in asked if c not in self._newest_only and len(got[c]) == counts[c])
            waiting = later + list(more)
        return taken

    def _asked(self) -> list[str]:
        return [camera for camera in self._served if camera not in self.held_back]

    def _read(self, counts: dict[str, int]) -> dict[str, list[PoolDelivery]]:
        """One way to Redis and back: for each camera a command of its own, as its slot wants it."""
        pipeline = self._client.pipeline(transaction=False)
        for camera, count in counts.items():
            key = frames_key(camera)
            if camera in self._newest_only:
                # looked at once more by the script: a file that begins now must not lose a frame
                only = "live" if self._policy == "auto" else ""
                beside = (camera_key(camera), counts_key(camera))
                cast("Any", pipeline).execute_command(
                    "EVAL", SKIP_TO_NEWEST, 3, key, *beside, OCR, "1", only
                )
            pipeline.xreadgroup(OCR, self._name, {key: ">"}, count=count)
        replies = iter(self._execute(pipeline))
        got = {}
        for camera in counts:
            if camera in self._newest_only and (skipped := next(replies)):
                self.skipped[camera] = self.skipped.get(camera, 0) + skipped
            got[camera] = self._serve(camera, next(replies))
        return got

    def _wait(self, count: int, block_ms: int) -> list[PoolDelivery]:
        """Waits for a frame of any camera."""
        asked = self._asked()
        if not asked:
            time.sleep(block_ms / 1000)
            return []
        if self._clustered:  # which cannot wait for keys of several slots
            until = time.monotonic() + block_ms / 1000
            while time.monotonic() < until:
                time.sleep(_CLUSTER_POLL_S)
                if taken := self._take(count):
                    return taken
            return []
        keys = {frames_key(camera): camera for camera in asked}
        try:
            reply = cast(
                "Any",
                self._client.xreadgroup(
                    OCR, self._name, dict.fromkeys(keys, ">"), count=1, block=block_ms
                ),
            )
        except redis.ResponseError as error:
            self._rejoin(error)
            return []
        taken = []
        for key, entries in streams_of(reply):
            taken += self._serve(keys[key.decode()], [[key, entries]])
        return taken

    def _serve(self, camera: str, reply: Any) -> list[PoolDelivery]:
        deliveries = [self._of(camera, frames_key(camera), d) for d in _deliveries(reply)]
        if deliveries:
            self._served[camera] = next(self._turns)
            if camera in self._newest_only:
                self._live_at = time.monotonic()
        return deliveries

    def _execute(self, pipeline: Any) -> list[Any]:
        """Replies in order; None for a stream that is not there, or not there any more."""
        replies = pipeline.execute(raise_on_error=False)
        for number, reply in enumerate(replies):
            if isinstance(reply, redis.ResponseError):
                self._rejoin(reply)
                replies[number] = None
            elif isinstance(reply, Exception):
                raise reply
        return cast("list[Any]", replies)

    def _rejoin(self, error: redis.ResponseError) -> None:
        """Makes groups anew where a camera has been forgotten and begins again."""
        if not any(word in str(error) for word in ("NOGROUP", "UNBLOCKED", "no such key")):
            raise error
        if "retry:" not in str(error):  # which is there only once something was to be retried
            for camera in self._served:
                ensure_group(self._client, frames_key(camera), OCR)

    def _own(self, consumer: GroupConsumer, after: str) -> Delivery | None:
        try:
            return next(iter(consumer.own_pending(1, after)), None)
        except redis.ResponseError as error:
            self._rejoin(error)
            return None

    def _leave(self, camera: str) -> None:
        for key in (frames_key(camera), retry_key(camera)):
            try:
                self._consumer(key).leave()
            except redis.ResponseError as error:
                if "NOGROUP" not in str(error) and "no such key" not in str(error):
                    raise

    def _consumer(self, key: str) -> GroupConsumer:
        return GroupConsumer(self._client, key, OCR, self._name)

    def _of(self, camera: str, key: str, delivery: Delivery) -> PoolDelivery:
        return PoolDelivery(delivery.id, delivery.fields, delivery.deliveries, camera, key)


def _deliveries(reply: Any) -> list[Delivery]:
    return [
        Delivery(stream_id.decode(), fields or None)
        for _, entries in streams_of(reply)
        for stream_id, fields in entries
    ]
