"""Streams kept under a number of bytes where no producer knows all that lies in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from platestream.streams.connection import Client
from platestream.streams.keys import camera_key, counts_key

_LOOKS = 64  # it is looked after every so manieth part of a limit that has been added

# A script, so that what is lost to the group is counted as it goes. A Redis that may not be asked
# (MEMORY) keeps to the number of entries. Rows are read a few at a time: each comes with all that
# it holds.
_TRIM = """
local key, most, entries_most = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local group, counter, own, kept = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local delivered, unfinished = '0-0', nil

local function after(a, b)
  local a_high, a_low = string.match(a, '^(%d+)-(%d+)$')
  local b_high, b_low = string.match(b, '^(%d+)-(%d+)$')
  if a_high ~= b_high then return tonumber(a_high) > tonumber(b_high) end
  return tonumber(a_low) > tonumber(b_low)
end

local own_most = own ~= '' and tonumber(redis.call('HGET', KEYS[3], own) or '')
if own_most and own_most > 0 then most = own_most end
local room, least = most * kept, 1
if KEYS[4] then
  local beside = redis.pcall('MEMORY', 'USAGE', KEYS[4], 'SAMPLES', '0')
  if type(beside) == 'number' then
    room = room - beside
    if room <= 0 then least = 0 end
  end
end

local waits = false
if group ~= '' and redis.call('EXISTS', key) == 1 then
  for _, row in ipairs(redis.call('XINFO', 'GROUPS', key)) do
    local facts = {}
    for i = 1, #row, 2 do facts[row[i]] = row[i + 1] end
    if facts['name'] == group then
      delivered = facts['last-delivered-id']
      waits = redis.call('HGET', KEYS[3], 'mode') == 'file'
      if facts['pending'] > 0 then unfinished = redis.call('XPENDING', key, group)[2] end
    end
  end
end

local function is_needed(id)
  return after(id, delivered) or (unfinished and not after(unfinished, id))
end

local lost, full = 0, 0
for _ = 1, 24 do
  local entries = redis.call('XLEN', key)
  local held = redis.pcall('MEMORY', 'USAGE', key, 'SAMPLES', '0')
  local excess = entries - entries_most
  if type(held) == 'number' and held > room then
    -- a little more than the mean, or entries larger than most would take many turns
    excess = math.max(excess, entries - math.floor(0.95 * entries * math.max(room, 0) / held))
  end
  excess = math.min(excess, entries - least)
  if excess <= 0 then break end
  if group == '' then
    redis.call('XTRIM', key, 'MAXLEN', entries - excess)
  else
    while excess > 0 and full == 0 do
      local going = 0
      for _, row in ipairs(redis.call('XRANGE', key, '-', '+', 'COUNT', math.min(excess, 32))) do
        if waits and is_needed(row[1]) then
          full = 1
          break
        end
        if after(row[1], delivered) then lost = lost + 1 end
        going = going + 1
      end
      entries = entries - going
      excess = excess - going
      redis.call('XTRIM', key, 'MAXLEN', entries)
    end
    if full == 1 then break end
  end
end
if lost > 0 then redis.call('HINCRBY', KEYS[2], counter, lost) end
return {full, lost, most}
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """How large a stream may become: bytes of Redis's memory, and entries."""

    bytes: int
    entries: int


class Trimmed(NamedTuple):
    """What came of trimming a stream.

    Attributes:
        full: Whether it is larger than its limit and stays so: a group that must lose nothing is
            not done with the oldest entry.
        lost: How many entries went that the group had not been handed.
        bytes: The limit that counted.
    """

    full: bool
    lost: int
    bytes: int


def own_limit(stream: str) -> str:
    """The field of ``camera:{camera}`` in which a camera's own limit of a stream stands."""
    return f"{stream}_bytes"


def trim(
    client: Client,
    camera: str,
    key: str,
    limit: Limit,
    group: str = "",
    *,
    own: str = "",
    kept: float = 1.0,
    beside: str = "",
) -> Trimmed:
    """Lets a stream's oldest entries go, as many as are too many; leaves one.

    Args:
        camera: Whose it is.
        limit: Where the camera has no limit of its own.
        group: Of a file, what this group is not done with stays; live it goes, and what had not
            been handed out is counted as ``trimmed_before_<group>``. A group that is not there
            holds nothing back, and all that goes is counted. Empty: nobody counts.
        own: The field in which the camera's own limit, in bytes, may stand; empty: none.
        kept: The part of the bytes that it is brought down to.
        beside: With ``own``: a stream that takes of the same bytes, and is left alone. Where it
            takes all of them, no entry is left.
    """
    keys = [key]
    if group or own:  # a user may have no right to a key that is named, though it is not touched
        keys += [counts_key(camera), camera_key(camera)]
    if beside:
        keys.append(beside)
    words = (limit.bytes, limit.entries, group, f"trimmed_before_{group}", own, kept)
    full, lost, most = cast("Any", client.eval)(_TRIM, len(keys), *keys, *words)
    return Trimmed(bool(full), int(lost), int(most))


class Trimmer:
    """One producer's share in keeping a stream under its limit.

    What a stream holds takes Redis a while to say. Each producer asks when it has added a 64th of
    the limit since it last did, and when it begins.

    Attributes:
        full: As ``Trimmed.full`` when it last looked.
    """

    def __init__(
        self, client: Client, camera: str, key: str, limit: Limit, group: str = "", own: str = ""
    ) -> None:
        """Args: as of ``trim``."""
        self._client = client
        self._where = (camera, key, limit, group)
        self._own = own
        self._limit = limit
        self._bytes = limit.bytes  # due at once: others may have filled it
        self._entries = 0
        self.full = False

    def added(self, entries: int, size: int) -> int:
        """Notes what was added, and trims when it is time.

        Args:
            size: Of the entries together, in bytes.

        Returns:
            How many entries went that the group had not been handed; they are counted in Redis.
        """
        self._bytes += size
        self._entries += entries
        if (
            self._bytes * _LOOKS < self._limit.bytes
            and self._entries * _LOOKS < self._limit.entries
        ):
            return 0
        return self.look()

    def look(self) -> int:
        """Trims now, whatever was added; returns as ``added`` does."""
        self._bytes = self._entries = 0
        # between two looks it must not grow over its limit either
        kept = 1 - 2 / _LOOKS
        self.full, lost, most = trim(self._client, *self._where, own=self._own, kept=kept)
        self._limit = Limit(most, self._limit.entries)
        return lost


def size_of(fields: Mapping[Any, Any]) -> int:
    """The bytes of an entry's fields, without what Redis needs to keep them."""
    return sum(len(k) + len(v if isinstance(v, bytes) else str(v)) for k, v in fields.items())
