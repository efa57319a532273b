"""What a producer that waits for nobody trims is counted where nobody was handed it."""

from __future__ import annotations

import pytest
import redis

from platestream import streams
from platestream.streams import GroupConsumer

CAMERA = "gate-1"
KEY = streams.rendered_key(CAMERA)


def publish(client: redis.Redis, frame_id: int, kept: int) -> bool:
    entry, oldest = streams.entry_id(frame_id), streams.entry_id(max(0, frame_id + 1 - kept))
    return streams.publish_rendered(client, CAMERA, entry, {"mode": "live"}, oldest)


def trimmed(client: redis.Redis) -> int:
    return streams.read_counts(client, CAMERA).get("trimmed_before_writer", 0)


def test_only_frames_that_the_writer_was_not_handed_are_counted(client: redis.Redis) -> None:
    """Ids have gaps, where visualize has skipped some; an end is no frame."""
    writer = GroupConsumer(client, KEY, streams.WRITER, streams.WRITER)
    writer.join()
    for frame_id in (*range(1, 7), 9, 10):
        assert publish(client, frame_id, 100)
    streams.publish(client, KEY, streams.end_id(10), {"end": "1"})
    assert len(writer.read(3, None)) == 3
    assert publish(client, 11, 8)  # 1 to 3 go, which it was handed
    assert trimmed(client) == 0
    assert publish(client, 21, 8)  # 4 to 6, 9, 10, the end, and 11
    assert trimmed(client) == 6
    assert [d.id for d in writer.read(9, None)] == ["21-0"]


def test_what_is_published_again_is_refused_and_counted_once(client: redis.Redis) -> None:
    streams.ensure_group(client, KEY, streams.WRITER)
    for frame_id in range(1, 11):
        assert publish(client, frame_id, 4)
    assert not publish(client, 10, 4)
    assert trimmed(client) == 6
    assert client.xlen(KEY) == 4


def test_a_stream_that_is_gone_is_begun_anew(client: redis.Redis) -> None:
    assert publish(client, 1, 4)
    client.delete(KEY)
    assert publish(client, 2, 4)
    assert trimmed(client) == 0


def test_a_full_redis_trims_nothing_uncounted(real: redis.Redis) -> None:
    streams.ensure_group(real, KEY, streams.WRITER)
    for frame_id in range(1, 51):
        streams.publish(real, KEY, streams.entry_id(frame_id), {"picture": bytes(100_000)})
    real.config_set("maxmemory", real.info("memory")["used_memory"] - 100_000)
    try:
        with pytest.raises(redis.OutOfMemoryError):
            publish(real, 51, 10)
        assert (real.xlen(KEY), trimmed(real)) == (50, 0)
    finally:
        real.config_set("maxmemory", 0)
    assert publish(real, 51, 10)
    assert (real.xlen(KEY), trimmed(real)) == (10, 41)
