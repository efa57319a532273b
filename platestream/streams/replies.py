"""Redis's replies in one shape, whichever protocol they came by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def streams_of(reply: Any) -> Iterable[tuple[Any, list[Any]]]:
    """Entries per stream, whichever of redis-py's reply shapes (RESP2, RESP3) it is."""
    if not reply:
        return ()
    if isinstance(reply, dict):
        return ((key, chunk[0] if chunk and isinstance(chunk[0], list) else chunk)
                for key, chunk in reply.items())  # fmt: skip
    return ((key, entries) for key, entries in reply)
