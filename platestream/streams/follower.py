"""Reading a stream outside any group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from platestream.streams.connection import Client
from platestream.streams.replies import streams_of


class Follower:
    """Reads a stream as it grows, outside any group."""

    def __init__(self, client: Client, key: str, *, since_last: int = 0) -> None:
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

    def read(self, count: int = 256, block_ms: int | None = None) -> list[dict[bytes, bytes]]:
        """New entries' fields since the last call, oldest first, ``count`` at most.

        Args:
            block_ms: How long to wait for the first of them; None does not wait.
        """
        return read_together([self], count, block_ms)[0]


def read_together(
    followers: Sequence[Follower], count: int = 256, block_ms: int | None = None
) -> list[list[dict[bytes, bytes]]]:
    """What each of several would ``read``, asked for in one command.

    Args:
        followers: Of one client, and of streams of one camera.
        count: At most so many entries of each.
    """
    found = [follower._backlog for follower in followers]
    if any(found):
        for follower in followers:
            follower._backlog = []
        return found
    wanted: Any = {follower._key: follower._last for follower in followers}
    reply = cast("Any", followers[0]._client.xread(wanted, count=count, block=block_ms))
    entries = {key.decode(): rows for key, rows in streams_of(reply)}
    for number, follower in enumerate(followers):
        rows = entries.get(follower._key, [])
        if rows:
            follower._last = rows[-1][0].decode()
        found[number] = [fields for _, fields in rows]
    return found
