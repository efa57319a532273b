"""Consumer groups: reading, acknowledging, claiming, skipping; how far a group has come."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, cast

import redis

from platestream.streams.connection import Client
from platestream.streams.keys import counts_key, frame_id_of
from platestream.streams.owner import Owner
from platestream.streams.replies import streams_of

# Passes over all but the newest frames of a camera; counts them, and says how many. The end of an
# earlier recording is not passed over, nor, where only live ones are to be, what a file before it
# has left.
SKIP_TO_NEWEST = """
if ARGV[3] == 'live' and redis.call('HGET', KEYS[2], 'mode') ~= 'live' then return 0 end
local head = tonumber(redis.call('HGET', KEYS[2], 'last_frame_id') or '0')
local before = tonumber(redis.call('HGET', KEYS[2], 'first_frame_id') or '1') - 1
local target = head - tonumber(ARGV[2])
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local facts = {}
  for i = 1, #group, 2 do facts[group[i]] = group[i + 1] end
  if facts['name'] == ARGV[1] then
    local id, part = string.match(facts['last-delivered-id'], '^(%d+)-(%d+)')
    local delivered, ended = tonumber(id), string.format('%d-1', before)
    if (delivered < before or delivered == before and part == '0')
        and #redis.call('XRANGE', KEYS[1], ended, ended) > 0 then
      target = math.min(target, before)
      local last = string.format('%d-0', before)
      for _, entry in ipairs(redis.call('XRANGE', KEYS[1], last, last)) do
        for i = 1, #entry[2], 2 do
          if entry[2][i] == 'mode' and entry[2][i + 1] ~= ARGV[3] and ARGV[3] == 'live' then
            return 0
          end
        end
      end
    end
    if target > delivered then
      redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], string.format('%d-0', target))
      if delivered == 0 then delivered = before end  -- a new group: what was before it is not its
      local skipped = math.max(0, target - delivered)
      if skipped > 0 then redis.call('HINCRBY', KEYS[3], 'skipped_by_ocr', skipped) end
      return skipped
    end
  end
end
return 0
"""

_LEAVE = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then return 0 end
return redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
"""


_ACK_AS_IT_WAS = """
local entry = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])[1]
for i = 1, #(entry and entry[2] or {}), 2 do
  if entry[2][i] == 'body' and entry[2][i + 1] ~= ARGV[3] then return 0 end
end
return redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
"""


def ensure_group(client: Client, key: str, group: str) -> None:
    """Makes a consumer group that starts at the stream's first entry, if it is not there."""
    try:
        client.xgroup_create(key, group, id="0", mkstream=True)
    except redis.OutOfMemoryError:  # said before it is looked whether the group is there
        if group not in group_facts(client, key):
            raise
    except redis.ResponseError as error:
        if "BUSYGROUP" not in str(error):  # which says that it is there
            raise


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

    @property
    def is_frame(self) -> bool:
        """Whether it is a frame and not an end, for the same streams, by its id alone."""
        return not self.id.endswith("-1")


class GroupConsumer:
    """One consumer of a group on one stream."""

    def __init__(
        self, client: Client, key: str, group: str, name: str, owner: Owner | None = None
    ) -> None:
        """Names it.

        Args:
            owner: Where one process alone may be the group: this one, as long as it is.
        """
        self._client = client
        self._owner = owner
        self.key = key
        self.group = group
        self.name = name

    def join(self) -> str:
        """Makes the stream and the group where they are missing; an owner takes the camera over.

        Returns:
            As ``Owner.take``; empty without an owner.

        Raises:
            TakenOverError: It was this process's before, and another has taken it over since.
        """
        before = self._owner.take() if self._owner else ""
        ensure_group(self._client, self.key, self.group)
        return before

    def leave(self) -> None:
        """Takes this consumer out of its group, unless it still holds entries."""
        cast("Any", self._client.eval)(_LEAVE, 1, self.key, self.group, self.name)

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

    def claim(self, min_idle_ms: int, count: int, start: str = "0-0") -> tuple[list[Delivery], int]:
        """Takes over entries that another consumer has held for too long.

        Args:
            start: Only entries from this id on.

        Returns:
            The entries, and how many pending ones had been trimmed and are lost. Redis 7 names
            the lost in its reply and drops them itself; 6.2 answers nil in their place and
            leaves them pending, so they are looked up and acknowledged here.
        """
        reply = self._client.xautoclaim(
            self.key, self.group, self.name, min_idle_ms, start_id=start, count=count
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

    def ack(self, *ids: str, counted: Mapping[str, int] | None = None) -> None:
        """Says that entries are done with.

        Args:
            counted: Of an owner: what to add to the camera's counters, in the same step.

        Raises:
            TakenOverError: Another has taken the camera over.
            OutOfMemoryError: There is something to count, and Redis is full: nothing was done.
        """
        if ids and self._owner:
            key = counts_key(self._owner.camera)
            counting = [["HINCRBY", key, *pair] for pair in (counted or {}).items()]
            self._owner.do(*counting, ["XACK", self.key, self.group, *ids])
        elif ids:
            self._client.xack(self.key, self.group, *ids)

    def ask(self, pipeline: Any, count: int) -> Callable[[Any], list[Delivery]]:
        """Puts ``read``, without waiting, among the commands of a pipeline.

        Returns:
            What makes entries of its reply, or raises what ``read`` would have raised.
        """
        asked_at = time.monotonic()
        pipeline.xreadgroup(self.group, self.name, self._places(">"), count=count)

        def answered(reply: Any) -> list[Delivery]:
            if isinstance(reply, Exception):
                self._refused(reply)
            return self._deliveries(reply, asked_at)

        return answered

    def _read(self, start: str, count: int, block_ms: int | None) -> list[Delivery]:
        asked_at, places = time.monotonic(), self._places(start)
        try:
            reply = cast(
                "Any",
                self._client.xreadgroup(self.group, self.name, places, count=count, block=block_ms),
            )
        except redis.ResponseError as error:
            self._refused(error)
        return self._deliveries(reply, asked_at)

    def _places(self, start: str) -> dict[Any, Any]:
        """Where it reads, and after which entry."""
        places: dict[Any, Any] = {self.key: start}
        if self._owner:
            places[self._owner.fence] = start
        return places

    def _refused(self, error: Exception) -> NoReturn:
        if self._owner and isinstance(error, redis.ResponseError):
            self._owner.check()  # the fence is gone where another has taken the camera over
        raise error

    def _deliveries(self, reply: Any, asked_at: float) -> list[Delivery]:
        if self._owner:
            self._owner.was_handed(asked_at)
        return [
            Delivery(i.decode(), fields or None)
            for _, entries in streams_of(reply)
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


def last_handed_out(client: Client, key: str, group: str) -> int:
    """The last frame id that a group was handed, where entry ids are frame ids; 0 if none."""
    facts = group_facts(client, key).get(group)
    return frame_id_of(facts["last-delivered-id"]) if facts else 0


def ack_as_it_was(client: Client, key: str, group: str, delivery: Delivery) -> bool:
    """Says that an entry is done with, unless another has its id by now.

    Returns:
        Whether it was still to be done.
    """
    body = (delivery.fields or {}).get(b"body", b"")
    return bool(cast("Any", client.eval)(_ACK_AS_IT_WAS, 1, key, group, delivery.id, body))


def first_unfinished(client: Client, key: str, group: str) -> int:
    """The lowest frame id that a group has not acknowledged, whether or not it has come yet."""
    return lowest_unfinished(client, key, [group])


def lowest_unfinished(client: Client, key: str, groups: Sequence[str]) -> int:
    """The lowest frame id that some group has not acknowledged, in one round trip."""
    pipeline = client.pipeline(transaction=False)
    ask_unfinished(pipeline, key, groups)
    return unfinished_of(client, key, groups, pipeline.execute(raise_on_error=False))


def ask_unfinished(pipeline: Any, key: str, groups: Sequence[str]) -> None:
    """Puts the question of ``lowest_unfinished`` into a pipeline: a command, and one a group."""
    pipeline.xinfo_groups(key)
    for group in groups:
        pipeline.xpending(key, group)


def unfinished_of(client: Client, key: str, groups: Sequence[str], replies: Sequence[Any]) -> int:
    """The answer to it."""
    for reply in replies:
        if isinstance(reply, redis.exceptions.NoPermissionError):
            raise reply
    rows, *summaries = replies
    known = {} if isinstance(rows, Exception) else _by_name(rows)
    lowest = []
    for group, summary in zip(groups, summaries, strict=True):
        if group not in known or isinstance(summary, Exception):
            # the server lost it (a restart without persistence): make it anew
            ensure_group(client, key, group)
            lowest.append(0)
        elif summary["pending"] and summary["min"] is not None:
            lowest.append(frame_id_of(summary["min"]))
        else:
            # of before XPENDING: what was read and acknowledged since counts next time
            lowest.append(frame_id_of(known[group]["last-delivered-id"]) + 1)
    return min(lowest)


def idle_s(client: Client, key: str, group: str) -> float:
    """For how many seconds nobody has asked for entries as a group; infinite: nobody has ever."""
    consumers = cast("list[dict[str, int]]", client.xinfo_consumers(key, group))
    return min((one["idle"] / 1000 for one in consumers), default=math.inf)


def group_facts(client: Client, key: str) -> dict[str, dict[str, Any]]:
    """``XINFO GROUPS`` by group name; empty if the stream is not there."""
    try:
        rows = client.xinfo_groups(key)
    except redis.ResponseError as error:
        if "no such key" not in str(error):
            raise
        return {}
    return _by_name(rows)


def _by_name(rows: Any) -> dict[str, dict[str, Any]]:
    return {cast("bytes", row["name"]).decode(): row for row in rows}


def oldest_id(client: Client, key: str, until: str) -> str | None:
    """The id of the oldest entry that a stream still has, up to an id; None if there is none."""
    rows = cast("Any", client.xrange(key, "-", until, count=1))
    return rows[0][0].decode() if rows else None
