"""Dead letters: frames that OCR could not read, put aside with their error, to be tried again.

``dead:{camera}`` holds them with their pixels. To try one again is to move it to
``retry:{camera}``, which the OCR pool reads as a group of its own: the entry ids of ``frames`` are
frame ids, and nothing can be put back before the last of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from platestream.streams.connection import Client
from platestream.streams.group import Delivery, ensure_group
from platestream.streams.keys import OCR, counts_key, dead_key, frames_key, retry_key
from platestream.streams.limit import Limit, own_limit, trim
from platestream.streams.publishing import finish

MOST_DEAD = 1_000
_PAGE = 16

_RETRY = """
local moved = 0
for i = 1, #ARGV do
  local entry = redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])[1]
  if entry then
    redis.call('XADD', KEYS[2], '*', unpack(entry[2]))
    redis.call('XDEL', KEYS[1], ARGV[i])
    moved = moved + 1
  end
end
if moved > 0 then redis.call('HINCRBY', KEYS[3], 'retried', moved) end
return moved
"""


@dataclass(frozen=True, slots=True)
class DeadFrame:
    """A frame that was put aside.

    Attributes:
        id: Its entry's id in ``dead``: unique within its camera.
        frame_id: The frame's; 0 where the entry does not say it.
        error: Why it is dead.
        deliveries: How often it was handed to a replica.
        buried_at_ms: When it was put aside, in ms since the epoch, by Redis's clock.
        bytes: What it takes in Redis, about.
    """

    id: str
    camera: str
    frame_id: int
    error: str
    deliveries: int
    buried_at_ms: int
    bytes: int


def publish_dead(
    client: Client,
    camera: str,
    delivery: Delivery,
    error: str,
    *,
    most_bytes: int,
    fields: Mapping[Any, Any] | None = None,
    source: str | None = None,
) -> bool:
    """Puts a frame that cannot be read aside, with its error, and acknowledges it.

    Args:
        most_bytes: Of Redis's memory, that dead frames and those to be tried again may take, where
            capture has said nothing else for the camera; then the oldest dead ones go.
        fields: What to keep of it instead of the delivery's fields, which may name pixels that
            lie elsewhere and will be gone.
        source: The stream that it was delivered from; without it, the camera's frames.

    Returns:
        False if another replica has finished it meanwhile; then nothing is put aside.
    """
    kept: dict[Any, Any] = {b"frame_id": str(delivery.frame_id)}
    for name, value in (fields or delivery.fields or {}).items():
        kept[name.encode() if isinstance(name, str) else name] = value
    kept |= {b"error": error[:2000], b"deliveries": str(delivery.deliveries)}
    keys = (source or frames_key(camera), dead_key(camera), counts_key(camera))
    buried = finish(client, keys, "dead", [(delivery.id, kept)]) == 1
    trim(
        client,
        camera,
        dead_key(camera),
        Limit(most_bytes, MOST_DEAD),
        own=own_limit("dead"),
        kept=1 - 1 / 64,  # a retry packs them in another way
        beside=retry_key(camera),
    )
    return buried


def list_dead(client: Client, camera: str) -> Iterator[DeadFrame]:
    """A camera's dead frames, oldest first."""
    start = "-"
    while rows := cast("Any", client.xrange(dead_key(camera), min=start, count=_PAGE)):
        for raw_id, fields in rows:
            stream_id = raw_id.decode()
            yield DeadFrame(
                id=stream_id,
                camera=camera,
                frame_id=_number(fields.get(b"frame_id")),
                error=fields.get(b"error", b"").decode("utf-8", "replace"),
                deliveries=_number(fields.get(b"deliveries")),
                buried_at_ms=int(stream_id.split("-")[0]),
                bytes=sum(len(k) + len(v) for k, v in fields.items()),
            )
        start = f"({rows[-1][0].decode()}"


def retry_dead(client: Client, camera: str, ids: Sequence[str]) -> int:
    """Gives dead frames to OCR again, with as many tries as a new one has.

    Each is moved to ``retry`` as a whole. Read, it goes from there, and its reading is published
    as any other's; if it cannot be read it comes back to ``dead`` under a new id.

    Returns:
        How many were still there.
    """
    ensure_group(client, retry_key(camera), OCR)
    keys = (dead_key(camera), retry_key(camera), counts_key(camera))
    return sum(int(cast("Any", client.eval)(_RETRY, 3, *keys, one)) for one in ids)


def drop_dead(client: Client, camera: str, ids: Sequence[str]) -> int:
    """Deletes dead frames; returns how many were still there."""
    return client.xdel(dead_key(camera), *ids) if ids else 0


def _number(value: bytes | None) -> int:
    return int(value) if value is not None and value.isdigit() and len(value) < 20 else 0
