"""How many bytes of pictures a stream of one producer holds, and what has to go for a new one."""

from __future__ import annotations

from collections import deque
from typing import Any, cast

from platestream.streams.connection import Client
from platestream.streams.keys import frame_id_of

_ENTRY_BYTES = 512  # field names, scalars, the stream's own tree: some 400 bytes as measured
_CHUNKS = (4, 256)  # entries read at once: few of large ones


def held_bytes(size: int, beside: int = _ENTRY_BYTES) -> int:
    """What an entry of so many bytes takes of Redis's memory.

    jemalloc, Redis's allocator, has four sizes for every doubling (its size classes); a larger
    one is rounded up to the next of them.

    Args:
        beside: What Redis needs besides to keep it.
    """
    size += beside
    step = max(16, 1 << max(0, (size - 1).bit_length() - 3))
    return -(-size // step) * step


class EntrySizes:
    """The sizes of a stream's entries, oldest first, as one producer knows them."""

    def __init__(self, client: Client, key: str, most_bytes: int) -> None:
        """Looks at what an earlier producer left: at the newest, up to ``most_bytes`` of them."""
        self._sizes: deque[tuple[int, int]] = deque()
        self.bytes = 0
        last, count = "+", _CHUNKS[0]
        while self.bytes <= most_bytes:
            rows = cast("Any", client.xrevrange(key, max=last, count=count))
            for stream_id, fields in rows:
                size = held_bytes(sum(len(k) + len(v) for k, v in fields.items()))
                self._sizes.appendleft((frame_id_of(stream_id), size))
                self.bytes += size
            if len(rows) < count:
                return
            last = "(" + rows[-1][0].decode()
            if self.bytes < 2**20:
                count = min(2 * count, _CHUNKS[1])

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def oldest(self) -> int:
        """The oldest frame id; there must be one."""
        return self._sizes[0][0]

    def add(self, frame_id: int, size: int) -> None:
        """Notes a new entry, of so many bytes of Redis's memory."""
        self._sizes.append((frame_id, size))
        self.bytes += size

    def drop_oldest(self) -> None:
        """Notes that the oldest entry is gone."""
        self.bytes -= self._sizes.popleft()[1]

    def forget_from(self, frame_id: int) -> None:
        """Forgets a frame and those after it: they were refused, and come again."""
        while self._sizes and self._sizes[-1][0] >= frame_id:
            self.bytes -= self._sizes.pop()[1]

    def drop_before(self, frame_id: int) -> None:
        """Notes that all before a frame are gone."""
        while self._sizes and self.oldest < frame_id:
            self.drop_oldest()


class ByteBudget:
    """Live mode: the oldest entries go as soon as all together are larger than the budget."""

    def __init__(self, client: Client, key: str, budget_bytes: int) -> None:
        """Begins with what lies in the stream already."""
        self._budget = budget_bytes
        self._sizes = EntrySizes(client, key, budget_bytes)

    def oldest_kept(self, frame_id: int, weight: int) -> str:
        """Makes room for an entry; from which entry id on the stream is kept with it.

        Args:
            weight: What it takes of the budget: ``held_bytes`` of its size.
        """
        self._sizes.forget_from(frame_id)
        self._sizes.add(frame_id, weight)
        while self._sizes.bytes > self._budget and len(self._sizes) > 1:
            self._sizes.drop_oldest()
        return f"{self._sizes.oldest}-0"
