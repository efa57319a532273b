"""A producer that waits for nobody trims: what its readers were not handed before is counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from platestream.streams.connection import Client
from platestream.streams.keys import WRITER, counts_key, rendered_key
from platestream.streams.owner import Owner
from platestream.streams.publishing import publish

# The count comes first: a Redis that is full refuses it, and then nothing goes uncounted. Before
# Redis 7 a script that fails does not say so by its error's first word.
_TRIM = """
if ARGV[2] == '0-0' or redis.call('XLEN', KEYS[1]) == 0 then return 0 end
local lost = 0
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local facts = {}
  for i = 1, #group, 2 do facts[group[i]] = group[i + 1] end
  if facts['name'] == ARGV[1] then
    local from, to = '(' .. facts['last-delivered-id'], '(' .. ARGV[2]
    for _, entry in ipairs(redis.call('XRANGE', KEYS[1], from, to)) do
      if string.sub(entry[1], -2) == '-0' then lost = lost + 1 end  -- the others are ends
    end
  end
end
if lost > 0 then
  local counted = redis.pcall('HINCRBY', KEYS[2], ARGV[3], lost)
  if type(counted) == 'table' and counted.err then
    if string.find(counted.err, 'OOM', 1, true) then return redis.error_reply('OOM no room') end
    return counted
  end
end
redis.call('XTRIM', KEYS[1], 'MINID', ARGV[2])
return lost
"""


def publish_rendered(
    client: Client,
    camera: str,
    stream_id: str,
    fields: Mapping[Any, Any],
    oldest_kept: str,
    owner: Owner | None = None,
) -> bool:
    """Adds a live frame to ``rendered``, once those before ``oldest_kept`` have gone.

    Not all frames are in ``rendered``, so that the writer cannot tell from their ids what it
    never saw. Those that it was not handed are therefore counted as ``trimmed_before_writer``
    here, in the step that takes them; what it was handed and trimmed then, it counts itself.

    Args:
        owner: As for ``publish``.

    Returns:
        As ``publish``.

    Raises:
        TakenOverError: As ``publish``.
        OutOfMemoryError: Redis is full; nothing was added, and nothing trimmed uncounted.
    """
    keys = (rendered_key(camera), counts_key(camera))
    cast("Any", client.eval)(_TRIM, 2, *keys, WRITER, oldest_kept, "trimmed_before_writer")
    return publish(client, keys[0], stream_id, fields, owner=owner)
