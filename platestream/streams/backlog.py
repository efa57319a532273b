"""What lies in a stream, and how far behind its groups are; for people and for metrics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import redis

from platestream.streams.connection import Client
from platestream.streams.group import group_facts
from platestream.streams.keys import frame_id_of, rendered_key

_LAST_OVERLAY_AGE = """
for _, entry in ipairs(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 2)) do
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'overlay_age_ms' then return entry[2][i + 1] end
  end
end
return false
"""


@dataclass(frozen=True, slots=True)
class GroupBacklog:
    """How far behind a group is.

    Attributes:
        consumers: How many names it knows.
        pending: Entries handed out and not acknowledged.
        lag: Entries not handed out yet; None where Redis (before 7) does not say.
    """

    consumers: int
    pending: int
    lag: int | None


@dataclass(frozen=True, slots=True)
class StreamBacklog:
    """What lies in a stream.

    Attributes:
        bytes: Redis's memory for it; None where this client may not ask (or fakeredis is asked).
        groups: Its groups by name.
    """

    entries: int
    bytes: int | None
    groups: dict[str, GroupBacklog]


def backlog(client: Client, key: str, head: int | None = None) -> StreamBacklog:
    """What lies in a stream; all zeros if it is not there.

    Args:
        head: The last frame id, where entry ids are frame ids: the lag is then counted from it,
            which Redis itself only does since 7, and not after a group was moved.
    """
    groups = {}
    for group, facts in group_facts(client, key).items():
        lag = facts.get("lag")
        if head is not None:
            lag = max(0, head - frame_id_of(facts["last-delivered-id"]))
        groups[group] = GroupBacklog(
            int(facts["consumers"]), int(facts["pending"]), None if lag is None else int(lag)
        )
    try:
        size = client.memory_usage(key) or 0
    except redis.ResponseError:
        size = None
    return StreamBacklog(client.xlen(key), size, groups)


def last_overlay_age_ms(client: Client, camera: str) -> int | None:
    """The overlay age of a camera's newest rendered frame; None where no reading is drawn on it.

    A script, so that the picture stays where it is; one that only reads, for a user who may not
    write, where Redis (since 7) knows such.
    """
    arguments = (_LAST_OVERLAY_AGE, 1, rendered_key(camera))
    try:
        age = cast("bytes | None", client.eval_ro(*arguments))
    except redis.ResponseError as error:
        if "unknown command" not in str(error).lower():
            raise
        age = cast("bytes | None", client.eval(*arguments))
    return None if age is None else int(age)


def alive_services(client: Client) -> Iterator[tuple[str | None, str, str]]:
    """All services with a heartbeat: camera (None where one serves all), service, ``host:pid``."""
    for key in client.scan_iter(match="alive:*", count=1000):
        text = cast("bytes", key).decode("utf-8", "replace").removeprefix("alive:")
        if text.startswith("{") and "}:" in text:
            camera, _, text = text[1:].partition("}:")
        else:
            camera = None
        service, _, process = text.partition(":")
        yield camera, service, process
