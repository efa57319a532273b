"""Producers: frames under ids of their own, and what becomes of frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import redis

from platestream.streams.connection import Client
from platestream.streams.keys import (
    OCR,
    TRACK,
    camera_key,
    counts_key,
    entry_id,
    frame_id_of,
    frames_key,
    readings_key,
)
from platestream.streams.limit import Limit, Trimmer, own_limit

MOST_READINGS = 20_000

_REPEATED = "equal or smaller"  # of Redis's words for an id that is not above the last

# A second capture may be behind: the last frame never goes back.
_NOTE_LAST = """
local last = redis.call('HGET', KEYS[1], 'last_frame_id')
if tonumber(last or '0') < tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'last_frame_id', ARGV[1], 'last_frame_ms', ARGV[2])
end
return last and 1 or 0
"""

_FINISH = """
local first, finished = 3, 0
while first <= #ARGV do
  local id, size = ARGV[first], tonumber(ARGV[first + 1])
  local last = first + 1 + size
  if id == '' or redis.call('XACK', KEYS[1], ARGV[1], id) == 1 then
    if id ~= '' and string.sub(KEYS[1], 1, 6) == 'retry:' then
      redis.call('XDEL', KEYS[1], id)  -- nobody else reads these
    end
    redis.call('XADD', KEYS[2], '*', unpack(ARGV, first + 2, last))
    finished = finished + 1
  end
  first = last + 1
end
if finished > 0 then redis.call('HINCRBY', KEYS[3], ARGV[2], finished) end
return finished
"""


def publish(
    client: Client,
    key: str,
    stream_id: str,
    fields: Mapping[Any, Any],
    *,
    oldest_kept: str | None = None,
) -> bool:
    """Adds an entry to ``frames`` or ``rendered`` under an id of the producer's.

    Args:
        oldest_kept: Entries before this id go (live mode's byte budget: ``ByteBudget``).

    Returns:
        False if the stream has this id or a later one already: it was published before.
    """
    try:
        client.xadd(key, dict(fields), id=stream_id, minid=oldest_kept, approximate=False)
    except redis.ResponseError as error:
        if _REPEATED in str(error):
            return False
        raise
    return True


class Captured(NamedTuple):
    """What became of a frame that was published.

    Attributes:
        new: False if it, or a later one, had been published before; it is then not counted again.
        known: False if Redis knew of no frame before: it is the first, or Redis came back empty.
    """

    new: bool
    known: bool


def publish_captured(
    client: Client,
    camera: str,
    frame_id: int,
    fields: Mapping[Any, Any],
    *,
    captured_at_ms: int = 0,
    oldest_kept: str | None = None,
) -> Captured:
    """Adds a frame to ``frames``, and says that it is out: all in one transaction.

    It is then the camera's last one, and one more in its counter. One that had been published
    before, or comes after a later one, changes neither.

    Args:
        oldest_kept: As for ``publish``.
    """
    pipeline = client.pipeline(transaction=True)
    pipeline.xadd(
        frames_key(camera),
        dict(fields),
        id=entry_id(frame_id),
        minid=oldest_kept,
        approximate=False,
    )
    last = (camera_key(camera), str(frame_id), str(captured_at_ms))
    cast("Any", pipeline).execute_command("EVAL", _NOTE_LAST, 1, *last)
    pipeline.hincrby(counts_key(camera), "frames_in", 1)
    added, *others = pipeline.execute(raise_on_error=False)
    for reply in others:
        if isinstance(reply, Exception):
            raise reply
    known = bool(others[0])
    if not isinstance(added, Exception):
        return Captured(True, known)
    if _REPEATED not in str(added):
        raise added
    client.hincrby(counts_key(camera), "frames_in", -1)
    return Captured(False, known)


def last_published(client: Client, key: str) -> int:
    """The last frame id that a stream has had, trimmed since or not; 0 if none."""
    try:
        facts = cast("Any", client.xinfo_stream(key))
    except redis.ResponseError as error:
        if "no such key" not in str(error):
            raise
        return 0
    return frame_id_of(facts["last-generated-id"])


def publish_readings(
    client: Client,
    camera: str,
    readings: Sequence[Mapping[Any, Any]],
    done_ids: Sequence[str],
    *,
    source: str | None = None,
) -> int:
    """Publishes readings and acknowledges their frames, all of it or nothing.

    A frame that another replica has finished meanwhile, having claimed it from this one, is left
    out: every frame has one reading. The stream is not trimmed: see ``readings_trimmer``.

    Args:
        done_ids: The entries that the readings are of, one each; none: they are of no entry.
        source: The stream that those lie in; without it, the camera's frames.

    Returns:
        How many were published.
    """
    ids = done_ids or [""] * len(readings)
    keys = (source or frames_key(camera), readings_key(camera), counts_key(camera))
    return finish(client, keys, "readings", list(zip(ids, readings, strict=True)))


def readings_trimmer(client: Client, camera: str, most_bytes: int) -> Trimmer:
    """What keeps a camera's readings under their limit, for one who publishes some.

    Only a tracker that is behind, or away, reads old ones.

    Of a file it leaves what ``track`` is not done with, and is ``full``: no frames are then to be
    read until there is room. Live the oldest go, counted as ``trimmed_before_track``.

    Args:
        most_bytes: Of Redis's memory, where capture has said nothing else for the camera.
    """
    limit = Limit(most_bytes, MOST_READINGS)
    own = own_limit("readings")
    return Trimmer(client, camera, readings_key(camera), limit, TRACK, own)


def finish(
    client: Client,
    keys: tuple[str, str, str],
    counter: str,
    outcomes: Sequence[tuple[str, Mapping[Any, Any]]],
) -> int:
    """Acknowledges entries for OCR and puts what has become of them into another stream.

    One Lua script, so that of two replicas that were handed an entry the first one counts.

    Args:
        keys: The stream of the entries, the one that what became of them goes to, and the
            camera's counters.
        counter: What to count there.
        outcomes: Entry ids, empty for none, with fields.

    Returns:
        How many were not acknowledged before.
    """
    if not outcomes:
        return 0
    words: list[Any] = [OCR, counter]
    for stream_id, fields in outcomes:
        words += [stream_id, 2 * len(fields)]
        for name, value in fields.items():
            words += [name, value]
    return int(cast("Any", client.eval)(_FINISH, 3, *keys, *words))
