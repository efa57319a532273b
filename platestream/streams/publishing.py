"""Producers: frames under ids of their own, and what becomes of frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import redis

from platestream.streams.keys import OCR, camera_key, counts_key, frames_key, readings_key

READINGS_KEPT = 20_000  # at most; fewer where they are large
READINGS_BUDGET = 64 * 2**20  # bytes
READINGS_LEAST = 512  # whatever their size: what is under way must not be lost

_FINISH = """
local first, finished = 4, 0
while first <= #ARGV do
  local id, size = ARGV[first], tonumber(ARGV[first + 1])
  local last = first + 1 + size
  if id == '' or redis.call('XACK', KEYS[1], ARGV[1], id) == 1 then
    if id ~= '' and string.sub(KEYS[1], 1, 6) == 'retry:' then
      redis.call('XDEL', KEYS[1], id)  -- nobody else reads these
    end
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', unpack(ARGV, first + 2, last))
    finished = finished + 1
  end
  first = last + 1
end
if finished > 0 then redis.call('HINCRBY', KEYS[3], ARGV[2], finished) end
return finished
"""


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


def note_captured(client: redis.Redis, camera: str, frame_id: int, captured_at_ms: int = 0) -> bool:
    """Says that a frame is out: the camera's last one, and one more in its counter.

    Returns:
        False if Redis knew of no frame before: it is the first, or Redis came back empty.
    """
    last = {"last_frame_id": str(frame_id), "last_frame_ms": str(captured_at_ms)}
    pipeline = client.pipeline(transaction=False)
    pipeline.hset(camera_key(camera), mapping=dict[Any, Any](last))
    pipeline.hincrby(counts_key(camera), "frames_in", 1)
    return int(pipeline.execute()[0]) < len(last)


def publish_readings(
    client: redis.Redis,
    camera: str,
    readings: Sequence[Mapping[Any, Any]],
    done_ids: Sequence[str],
    *,
    source: str | None = None,
) -> int:
    """Publishes readings and acknowledges their frames, all of it or nothing.

    A frame that another replica has finished meanwhile, having claimed it from this one, is left
    out: every frame has one reading. The stream is trimmed to as many of the largest of them as
    ``READINGS_BUDGET`` holds.

    Args:
        done_ids: The entries that the readings are of, one each; none: they are of no entry.
        source: The stream that those lie in; without it, the camera's frames.

    Returns:
        How many were published.
    """
    largest = max((sum(len(v) for v in fields.values()) for fields in readings), default=1)
    kept = min(READINGS_KEPT, max(READINGS_LEAST, READINGS_BUDGET // max(1, largest)))
    ids = done_ids or [""] * len(readings)
    keys = (source or frames_key(camera), readings_key(camera), counts_key(camera))
    return finish(client, keys, "readings", kept, list(zip(ids, readings, strict=True)))


def finish(
    client: redis.Redis,
    keys: tuple[str, str, str],
    counter: str,
    kept: int,
    outcomes: Sequence[tuple[str, Mapping[Any, Any]]],
) -> int:
    """Acknowledges entries for OCR and puts what has become of them into another stream.

    One Lua script, so that of two replicas that were handed an entry the first one counts.

    Args:
        keys: The stream of the entries, the one that what became of them goes to, and the
            camera's counters.
        counter: What to count there.
        kept: How many entries the second stream keeps, about.
        outcomes: Entry ids, empty for none, with fields.

    Returns:
        How many were not acknowledged before.
    """
    if not outcomes:
        return 0
    words: list[Any] = [OCR, counter, kept]
    for stream_id, fields in outcomes:
        words += [stream_id, 2 * len(fields)]
        for name, value in fields.items():
            words += [name, value]
    return int(cast("Any", client.eval)(_FINISH, 3, *keys, *words))
