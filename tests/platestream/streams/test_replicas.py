"""Replicas that come and go: who is heard of, and which consumers are taken out of groups."""

from __future__ import annotations

import redis

from platestream import streams
from tests.conftest import wait_until

KEY = streams.frames_key("gate-1")


def consumer(client: redis.Redis, name: str) -> streams.GroupConsumer:
    made = streams.GroupConsumer(client, KEY, streams.OCR, name)
    made.join()
    return made


def names(client: redis.Redis) -> set[str]:
    return {row["name"].decode() for row in client.xinfo_consumers(KEY, streams.OCR)}


def test_replicas_hear_of_each_other(client: redis.Redis) -> None:
    assert streams.announce_replica(client, "a", 40) == {"a": 40}
    assert streams.announce_replica(client, "b", 1500) == {"a": 40, "b": 1500}
    assert streams.announce_replica(client, "b", 90) == {"a": 40, "b": 90}
    streams.forget_replica(client, "b")
    assert streams.announce_replica(client, "a", 40) == {"a": 40}


def test_a_replica_that_says_nothing_more_is_not_among_the_living(client: redis.Redis) -> None:
    now_ms = 1000 * client.time()[0]
    client.hset(streams.REPLICAS_KEY, "silent", f"{now_ms - 5000} 9000")
    client.hset(streams.REPLICAS_KEY, "long gone", f"{now_ms - 500_000} 9000")
    client.hset(streams.REPLICAS_KEY, "before the clock was set back", f"{now_ms + 500_000} 9000")
    client.hset(streams.REPLICAS_KEY, "not ours", "nonsense")
    assert streams.announce_replica(client, "a", 40) == {"a": 40}
    assert set(client.hkeys(streams.REPLICAS_KEY)) == {b"a", b"silent"}
    assert streams.living_replicas(client) == {"a": 40}
    streams.forget_replica(client, "a")
    assert streams.living_replicas(client) == {}


def test_consumers_that_are_gone_are_removed_but_none_that_holds_a_frame(
    real: redis.Redis,
) -> None:
    for frame_id in (1, 2):
        streams.publish(real, KEY, streams.entry_id(frame_id), {"frame_id": str(frame_id)})
    (held,) = consumer(real, "holds").read(1, None)
    (done,) = consumer(real, "gone").read(1, None)
    consumer(real, "gone").ack(done.id)
    assert consumer(real, "lives").read(1, None) == []
    real.xgroup_createconsumer(KEY, streams.OCR, "lives")  # 6.2 makes none for an empty read
    wait_until(lambda: _least_idle(real) > 20, 10, "some idleness")
    assert streams.remove_gone(real, [KEY], 60_000, ["lives"]) == 0
    missing = streams.frames_key("not-there")
    assert streams.remove_gone(real, [missing, KEY], 20, ["lives"]) == 1
    assert names(real) == {"holds", "lives"}
    consumer(real, "lives").claim(0, 1)
    consumer(real, "lives").ack(held.id)
    assert streams.remove_gone(real, [KEY], 20, ["lives"]) == 1
    assert names(real) == {"lives"}


def _least_idle(client: redis.Redis) -> int:
    return min(row["idle"] for row in client.xinfo_consumers(KEY, streams.OCR))
