"""Dead letters: put aside once, bounded, tried again, dropped."""

from __future__ import annotations

import redis

from platestream import streams
from platestream.streams import PoolConsumer

CAMERA = "gate-1"
KEY = streams.frames_key(CAMERA)


def bury(
    client: redis.Redis,
    *frame_ids: int,
    body: bytes = b"pixels",
    most_bytes: int = 2**20,
) -> None:
    """Frames that a consumer was handed and gave up."""
    streams.register_camera(client, CAMERA, mode="file")
    consumer = streams.GroupConsumer(client, KEY, streams.OCR, "a")
    consumer.join()
    for frame_id in frame_ids:
        fields: dict[str, str | bytes] = {"frame_id": str(frame_id), "body": body}
        streams.publish(client, KEY, streams.entry_id(frame_id), fields)
        (delivery,) = consumer.read(1, None)
        assert streams.publish_dead(
            client, CAMERA, delivery, f"error {frame_id}", most_bytes=most_bytes
        )


def count(client: redis.Redis, name: str) -> int:
    return int(streams.read_hash(client, streams.counts_key(CAMERA)).get(name, 0))


def test_a_dead_frame_says_what_it_was(client: redis.Redis) -> None:
    bury(client, 7, 8)
    first, second = streams.list_dead(client, CAMERA)
    assert (first.frame_id, first.error, first.deliveries) == (7, "error 7", 1)
    assert second.frame_id == 8
    assert abs(first.buried_at_ms / 1000 - client.time()[0]) < 60
    assert count(client, "dead") == 2
    assert streams.first_unfinished(client, KEY, streams.OCR) == 9


def test_a_frame_that_another_replica_has_read_is_not_put_aside(client: redis.Redis) -> None:
    consumer = streams.GroupConsumer(client, KEY, streams.OCR, "a")
    consumer.join()
    streams.publish(client, KEY, "1-0", {"frame_id": "1"})
    (delivery,) = consumer.read(1, None)
    streams.publish_readings(client, CAMERA, [{"frame_id": "1"}], ["1-0"])
    assert not streams.publish_dead(client, CAMERA, delivery, "too late", most_bytes=2**20)
    assert list(streams.list_dead(client, CAMERA)) == []
    assert count(client, "dead") == 0


def test_long_lists_come_whole_and_in_order(client: redis.Redis) -> None:
    bury(client, *range(1, 41))
    assert [d.frame_id for d in streams.list_dead(client, CAMERA)] == list(range(1, 41))


def test_large_frames_are_kept_within_a_budget(
    real: redis.Redis,
) -> None:
    bury(real, *range(1, 101), body=bytes(5000), most_bytes=40 * 5000)
    kept = [d.frame_id for d in streams.list_dead(real, CAMERA)]
    assert kept[-1] == 100
    assert 30 <= len(kept) <= 45


def test_what_is_tried_again_and_read_is_dead_no_more(real: redis.Redis) -> None:
    bury(real, 1, 2)
    first, second = streams.list_dead(real, CAMERA)
    assert streams.retry_dead(real, CAMERA, [first.id]) == 1
    assert [d.id for d in streams.list_dead(real, CAMERA)] == [second.id]
    consumer = PoolConsumer(real, "b")
    consumer.serve([CAMERA])
    assert consumer.take(4, 1) == []
    (delivery,) = consumer.retried()
    assert (delivery.camera, delivery.frame_id, delivery.deliveries) == (CAMERA, 1, 1)
    assert delivery.fields is not None
    assert delivery.fields[b"body"] == b"pixels"
    fields = {"frame_id": "1"}
    streams.publish_readings(real, CAMERA, [fields], [delivery.id], source=delivery.key)
    assert real.xlen(streams.readings_key(CAMERA)) == 1
    assert real.xlen(streams.retry_key(CAMERA)) == 0
    assert consumer.retried() == []
    assert count(real, "retried") == 1


def test_what_fails_again_comes_back_with_its_new_error(real: redis.Redis) -> None:
    bury(real, 5)
    (before,) = streams.list_dead(real, CAMERA)
    streams.retry_dead(real, CAMERA, [before.id])
    consumer = PoolConsumer(real, "b")
    consumer.serve([CAMERA])
    (delivery,) = consumer.retried()
    streams.publish_dead(real, CAMERA, delivery, "worse", most_bytes=2**20, source=delivery.key)
    (after,) = streams.list_dead(real, CAMERA)
    assert (after.frame_id, after.error) == (5, "worse")
    assert after.id != before.id
    assert real.xlen(streams.retry_key(CAMERA)) == 0


def test_what_a_dead_replica_was_trying_again_is_claimed(real: redis.Redis) -> None:
    bury(real, 5)
    streams.retry_dead(real, CAMERA, [d.id for d in streams.list_dead(real, CAMERA)])
    consumers = [PoolConsumer(real, name) for name in ("dies", "lives")]
    for consumer in consumers:
        consumer.serve([CAMERA])
    assert len(consumers[0].retried()) == 1
    ((claimed,), _) = consumers[1].claim(0)
    assert (claimed.frame_id, claimed.key, claimed.deliveries) == (5, streams.retry_key(CAMERA), 2)


def test_frames_are_dropped_once(client: redis.Redis) -> None:
    bury(client, 1, 2, 3)
    ids = [d.id for d in streams.list_dead(client, CAMERA)]
    assert streams.drop_dead(client, CAMERA, ids[:2]) == 2
    assert streams.drop_dead(client, CAMERA, ids[:2]) == 0
    assert streams.retry_dead(client, CAMERA, ids[:2]) == 0
    assert [d.frame_id for d in streams.list_dead(client, CAMERA)] == [3]


def held(client: redis.Redis, *keys: str) -> int:
    return sum(client.memory_usage(key, samples=0) or 0 for key in keys)


def test_what_is_to_be_tried_again_takes_of_the_same_budget(real: redis.Redis) -> None:
    """Nobody reads it, and it is moved there again and again."""
    most, keys = 40 * 25_000, (streams.dead_key(CAMERA), streams.retry_key(CAMERA))
    for turn in range(20):
        bury(real, *range(30 * turn + 1, 30 * turn + 31), body=bytes(25_000), most_bytes=most)
        assert held(real, *keys) <= most
        streams.retry_dead(real, CAMERA, [d.id for d in streams.list_dead(real, CAMERA)])
        assert held(real, *keys) <= most
    assert real.xlen(streams.retry_key(CAMERA)) > 30
    assert real.xlen(streams.dead_key(CAMERA)) == 0


def test_a_camera_has_a_limit_of_its_own(real: redis.Redis) -> None:
    """As its capture says, whatever a replica's settings are."""
    streams.register_camera(real, CAMERA, **{streams.own_limit("dead"): str(20 * 5000)})
    bury(real, *range(1, 51), body=bytes(5000))
    assert 10 <= real.xlen(streams.dead_key(CAMERA)) <= 20
