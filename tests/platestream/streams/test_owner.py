"""Who serves a camera: who comes last, and whoever was before does nothing more."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import redis

from platestream import streams
from platestream.embedded_redis import EmbeddedRedis
from platestream.errors import TakenOverError
from platestream.streams import GroupConsumer, Owner
from tests.conftest import wait_until

CAMERA = "gate-1"
KEY = streams.rendered_key(CAMERA)


def _owner(client: Any) -> Owner:
    return Owner(client, CAMERA, streams.WRITER)


def _consumer(client: Any, owner: Owner) -> GroupConsumer:
    return GroupConsumer(client, KEY, streams.WRITER, streams.WRITER, owner)


def test_who_comes_last_is_handed_all(client: redis.Redis) -> None:
    one, other = _consumer(client, _owner(client)), _consumer(client, _owner(client))
    assert one.join() == ""
    client.xadd(KEY, {"a": "1"}, id="1-0")
    client.xadd(KEY, {"a": "2"}, id="2-0")
    assert [d.id for d in one.read(1, None)] == ["1-0"]
    assert other.join() != ""
    with pytest.raises(TakenOverError, match=r"another writer \(.+:\d+\) .* 'gate-1'"):
        one.read(8, None)
    with pytest.raises(TakenOverError):
        one.own_pending(8)
    with pytest.raises(TakenOverError):
        one.ack("1-0")
    assert [d.id for d in other.own_pending(8)] == ["1-0"]
    assert [d.id for d in other.read(8, None)] == ["2-0"]
    other.ack("1-0", "2-0")
    with pytest.raises(TakenOverError):
        one.join()


def test_one_that_waits_is_woken(real: redis.Redis, server: EmbeddedRedis) -> None:
    waiting = _consumer(streams.connect(server.url), _owner(real))
    waiting.join()
    ended: list[str] = []

    def wait() -> None:
        try:
            waiting.read(8, 20_000)
        except TakenOverError as error:
            ended.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    wait_until(lambda: real.info("clients")["blocked_clients"])
    _consumer(real, _owner(real)).join()
    thread.join(5)
    assert ended
    real.xadd(KEY, {"a": "1"}, id="1-0")
    assert not real.xpending(KEY, streams.WRITER)["pending"]


def test_all_or_nothing_is_done(client: redis.Redis) -> None:
    owner = _owner(client)
    owner.take()
    hset = ["HSET", streams.recording_key(CAMERA), "a", "1"]
    added = ["XADD", KEY, "2-0", "a", b"\xff"]
    assert owner.do(added, hset) == [b"2-0", 1]
    assert owner.do(["XADD", KEY, "1-0", "a", "b"], [*hset[:3], "2"]) == [None, 0]
    assert client.hget(hset[1], "a") == b"2"
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        owner.do(["XADD", hset[1], "3-0", "a", "b"])
    _owner(client).take()
    with pytest.raises(TakenOverError):
        owner.do(["XADD", KEY, "3-0", "a", "b"], [*hset[:3], "3"])
    assert client.xlen(KEY) == 1
    assert client.hget(hset[1], "a") == b"2"


def test_an_emptied_redis_is_begun_anew_with(client: redis.Redis) -> None:
    owner = _owner(client)
    consumer = _consumer(client, owner)
    consumer.join()
    client.flushall()
    for lost in (owner.check, lambda: owner.do(["XACK", KEY, "writer", "1-0"])):
        with pytest.raises(streams.StreamsLostError):
            lost()
    with pytest.raises(streams.StreamsLostError):
        consumer.read(1, None)
    assert consumer.join() == ""
    assert consumer.read(1, None) == []
    owner.check()


def test_a_redis_without_its_last_moments_names_one_before(client: redis.Redis) -> None:
    first, second = _owner(client), _owner(client)
    first.take()
    said = client.hget(streams.owners_key(CAMERA), "writer")
    second.take()
    client.hset(streams.owners_key(CAMERA), "writer", said)
    with pytest.raises(streams.StreamsLostError):
        second.check()
    assert second.take() != ""
    with pytest.raises(TakenOverError):
        first.take()


def test_a_full_redis_lets_one_in_and_does_nothing_by_halves(real: redis.Redis) -> None:
    owner, other = _owner(real), _owner(real)
    _consumer(real, owner).join()
    real.xadd(KEY, {"a": "1"}, id="1-0")
    real.config_set("maxmemory", "1")
    try:
        consumer = _consumer(real, other)
        consumer.join()
        with pytest.raises(redis.OutOfMemoryError):
            other.do(["XADD", KEY, "2-0", "a", "b"], ["XACK", KEY, "writer", "1-0"])
        assert [d.id for d in consumer.read(1, None)] == ["1-0"]
        consumer.ack("1-0")
    finally:
        real.config_set("maxmemory", "0")
    assert not real.xpending(KEY, streams.WRITER)["pending"]
    assert real.xlen(KEY) == 1


def test_one_fence_is_left_and_goes_with_the_camera(client: redis.Redis) -> None:
    for _ in range(3):
        _owner(client).take()
    assert len(client.keys("fence:*")) == 1
    streams.register_camera(client, CAMERA, ended="1")
    streams.forget_camera(client, CAMERA)
    assert not client.keys("fence:*")
    assert not client.exists(streams.owners_key(CAMERA))


def test_asks_only_where_it_is_not_known(client: redis.Redis) -> None:
    owner = _owner(client)
    owner.take()
    _owner(client).take()
    owner.check(within_s=60)
    with pytest.raises(TakenOverError):
        owner.check()
