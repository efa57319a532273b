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
    end_id,
    entry_id,
    frame_id_of,
    frames_key,
    readings_key,
)
from platestream.streams.limit import Limit, Trimmer, own_limit
from platestream.streams.owner import Owner

MOST_READINGS = 20_000

_REPEATED = "equal or smaller"  # of Redis's words for an id that is not above the last

# Adds an entry, if the camera is nobody else's. Before Redis 7 a script that fails does not say so
# by its error's first word; a full Redis refuses the first command, and then nothing is done.
_CAPTURED = """
local owner = redis.call('HGET', KEYS[2], 'captured_by') or ''
if owner ~= '' and ARGV[1] ~= '' and owner ~= ARGV[1] then return {0, 1} end
local own = tonumber(ARGV[2])
local added, new = redis.pcall(unpack(ARGV, 3 + own)), 1
if type(added) == 'table' and added.err then
  local why = tostring(added.err)
  if string.find(why, 'OOM', 1, true) then return redis.error_reply('OOM no room') end
  if not string.find(why, 'equal or smaller', 1, true) then return added end
  new = 0
end
"""

# The last frame never goes back.
_PUBLISH_CAPTURED = (
    _CAPTURED
    + """
local last = redis.call('HGET', KEYS[2], 'last_frame_id')
if tonumber(last or '0') < tonumber(ARGV[3]) then
  redis.call('HSET', KEYS[2], 'last_frame_id', ARGV[3], 'last_frame_ms', ARGV[4])
end
if new == 1 then redis.call('HINCRBY', KEYS[3], 'frames_in', 1) end
return {new, last and 1 or 0}
"""
)

_END_CAPTURED = (
    _CAPTURED
    + """
if own > 0 then redis.call('HSET', KEYS[2], unpack(ARGV, 3, 2 + own)) end
return {1, 1}
"""
)

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
    owner: Owner | None = None,
) -> bool:
    """Adds an entry to ``frames`` or ``rendered`` under an id of the producer's.

    Args:
        oldest_kept: Entries before this id go (live mode's byte budget: ``ByteBudget``).
        owner: Where one process alone may publish: this one, as long as it is.

    Returns:
        False if the stream has this id or a later one already: it was published before.

    Raises:
        TakenOverError: Another has taken the camera over.
    """
    if owner:
        return owner.do(adding(key, stream_id, fields, oldest_kept))[0] is not None
    try:
        client.xadd(key, dict(fields), id=stream_id, minid=oldest_kept, approximate=False)
    except redis.ResponseError as error:
        if _REPEATED in str(error):
            return False
        raise
    return True


def adding(
    key: str, stream_id: str, fields: Mapping[Any, Any], oldest_kept: str | None = None
) -> list[Any]:
    """The words of the XADD that adds an entry."""
    kept = ["MINID", "=", oldest_kept] if oldest_kept is not None else []
    return ["XADD", key, *kept, stream_id, *(word for pair in fields.items() for word in pair)]


class Captured(NamedTuple):
    """What became of a frame that was published.

    Attributes:
        new: False if it, or a later one, had been published before, or the camera is another
            capture's by now; it is then not counted.
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
    captured_by: str = "",
) -> Captured:
    """Adds a frame to ``frames``, and says that it is out: all in one step.

    It is then the camera's last one, and one more in its counter. One that had been published
    before, or comes after a later one, changes neither.

    Args:
        oldest_kept: As for ``publish``.
        captured_by: Who publishes it; if the camera is another's by now, it is not published.
            Empty: nobody asks.
    """
    keys = (frames_key(camera), camera_key(camera), counts_key(camera))
    words = adding(keys[0], entry_id(frame_id), fields, oldest_kept)
    new, known = cast("Any", client.eval)(
        _PUBLISH_CAPTURED, len(keys), *keys, captured_by, 2, frame_id, captured_at_ms, *words
    )
    return Captured(bool(new), bool(known))


def publish_captured_end(
    client: Client,
    camera: str,
    last_frame_id: int,
    fields: Mapping[Any, Any],
    facts: Mapping[str, str],
    *,
    captured_by: str,
) -> bool:
    """Adds the end of a recording to ``frames``, and notes facts of the camera, in one step.

    Returns:
        False if the camera is another capture's by now; nothing was done.
    """
    keys = (frames_key(camera), camera_key(camera))
    noted = [word for pair in facts.items() for word in pair]
    words = adding(keys[0], end_id(last_frame_id), fields)
    done, _ = cast("Any", client.eval)(
        _END_CAPTURED, len(keys), *keys, captured_by, len(noted), *noted, *words
    )
    return bool(done)


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
