"""After what time frames are claimed: it follows the slowest batch of the replicas that live."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from services.ocr import presence
from services.ocr.presence import CLAIM_FACTOR, MOST_CLAIM_AFTER_MS, Presence
from tests.conftest import wait_until


class Clock:
    """Time that passes when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(presence.time, "monotonic", lambda: self.now)


@contextmanager
def announced(client: redis.Redis, name: str) -> Iterator[Presence]:
    made = Presence(client, name)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def test_the_slowest_batch_counts_for_a_minute(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    made = Presence(client, "a")
    assert made.slowest_ms() == 0
    for took in (0.05, 0.4, 0.1):
        with made.batch():
            clock.now += took
    assert made.slowest_ms() == 400
    clock.now += 61
    with made.batch():
        clock.now += 0.03
    assert made.slowest_ms() == 30


def test_a_batch_under_way_counts_as_it_stands(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    made = Presence(client, "a")
    with made.batch():
        clock.now += 2.5
        assert made.slowest_ms() == 2500
        clock.now += 1
        assert made.slowest_ms() == 3500


def test_a_batch_that_fails_has_taken_its_time_too(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    made = Presence(client, "a")

    def fail() -> None:
        with made.batch():
            clock.now += 0.7
            raise ValueError("strange")

    with pytest.raises(ValueError, match="strange"):
        fail()
    assert made.slowest_ms() == 700


def test_the_claim_time_has_a_floor_and_a_ceiling(client: redis.Redis) -> None:
    made = Presence(client, "a")
    assert made.claim_after_ms(1000) == 1000
    made.living = {"a": 10, "b": 2000}
    assert made.claim_after_ms(1000) == CLAIM_FACTOR * 2000
    assert made.claim_after_ms(9000) == 9000
    made.living = {"hangs": 10_000_000}
    assert made.claim_after_ms(1000) == MOST_CLAIM_AFTER_MS


def test_replicas_hear_of_a_slow_batch_while_it_is_under_way(real: redis.Redis) -> None:
    done = threading.Event()
    with announced(real, "slow") as slow, announced(real, "quick") as quick:

        def work() -> None:
            with slow.batch():
                done.wait(30)

        worker = threading.Thread(target=work)
        worker.start()
        wait_until(lambda: quick.claim_after_ms(100) > CLAIM_FACTOR * 600, 20, "word of it")
        done.set()
        worker.join()
    assert real.hlen("replicas:ocr") == 0
