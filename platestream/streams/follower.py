"""Reading a stream outside any group."""

from __future__ import annotations

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
        if self._backlog:
            backlog, self._backlog = self._backlog, []
            return backlog
        reply = cast(
            "Any", self._client.xread({self._key: self._last}, count=count, block=block_ms)
        )
        fields = []
        for _, entries in streams_of(reply):
            for stream_id, entry in entries:
                self._last = stream_id.decode()
                fields.append(entry)
        return fields
