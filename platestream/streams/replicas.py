"""Replicas of the OCR pool that come, go and die: who lives, how slow they are, who is gone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import redis

from platestream.streams.connection import Client
from platestream.streams.keys import OCR, REPLICAS_KEY

REPLICA_LIFE_S = 3.0  # not heard of for so long, a replica is taken for gone
_FORGOTTEN_S = 60.0

_REMOVE_GONE = """
local spared, removed = {}, 0
for i = 3, #ARGV do spared[ARGV[i]] = true end
for _, row in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local facts = {}
  for i = 1, #row, 2 do facts[row[i]] = row[i + 1] end
  if facts['pending'] == 0 and facts['idle'] > tonumber(ARGV[2]) and not spared[facts['name']] then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], facts['name'])
    removed = removed + 1
  end
end
return removed
"""


def announce_replica(client: Client, name: str, slowest_ms: int) -> dict[str, int]:
    """Says that a replica lives and how long its slowest recent batch took.

    Returns:
        The same of every replica that lives, this one included, by name, in ms.
    """
    now_ms = _server_ms(client)
    pipeline = client.pipeline(transaction=False)
    pipeline.hset(REPLICAS_KEY, name, f"{now_ms} {slowest_ms}")
    pipeline.hgetall(REPLICAS_KEY)
    living, forgotten = _told_apart(pipeline.execute()[1], now_ms)
    if forgotten:
        client.hdel(REPLICAS_KEY, *cast("Any", forgotten))
    return living


def living_replicas(client: Client) -> dict[str, int]:
    """How long the slowest recent batch of every replica that lives took, by name, in ms."""
    return _told_apart(cast("Any", client.hgetall(REPLICAS_KEY)), _server_ms(client))[0]


def _server_ms(client: Client) -> int:
    """One clock for all hosts; of a cluster, that of the node that holds the hash."""
    where = {}
    if isinstance(client, redis.RedisCluster):
        where["target_nodes"] = cast("Any", client).get_node_from_key(REPLICAS_KEY)
    seconds, microseconds = cast("Any", client.time)(**where)
    return int(1000 * seconds + microseconds // 1000)


def _told_apart(heard: dict[bytes, bytes], now_ms: int) -> tuple[dict[str, int], list[bytes]]:
    """Replicas that live, and those to be forgotten."""
    living: dict[str, int] = {}
    forgotten: list[bytes] = []
    for name, said in heard.items():
        heard_ms, _, slowest = said.partition(b" ")
        if not (heard_ms.isdigit() and slowest.isdigit()):
            forgotten.append(name)
            continue
        away_s = (now_ms - int(heard_ms)) / 1000
        if abs(away_s) <= REPLICA_LIFE_S:  # below 0: heard of before Redis's clock was set back
            living[name.decode("utf-8", "replace")] = int(slowest)
        elif abs(away_s) > _FORGOTTEN_S:
            forgotten.append(name)
    return living, forgotten


def forget_replica(client: Client, name: str) -> None:
    """Says that a replica has gone."""
    client.hdel(REPLICAS_KEY, name)


def remove_gone(client: Client, keys: Sequence[str], idle_ms: int, living: Iterable[str]) -> int:
    """Takes consumers that are gone out of OCR's group on streams, one script for each stream.

    Gone is one that holds nothing, has not asked for anything for longer than ``idle_ms``, and is
    not named as living. One that holds entries stays until they have been claimed.

    Returns:
        How many were removed.
    """
    names = list(living)
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        cast("Any", pipeline).execute_command(
            "EVAL", _REMOVE_GONE, 1, key, OCR, str(idle_ms), *names
        )
    return sum(n for n in pipeline.execute(raise_on_error=False) if isinstance(n, int))
