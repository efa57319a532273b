"""A file's producer whose groups are slow, or have nobody in them."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import redis

from platestream import streams, waiting
from platestream.producer import Producer
from platestream.runtime import Session
from platestream.settings import load
from platestream.streams import GroupConsumer
from tests.conftest import wait_until

KEY = streams.frames_key("gate-1")
GROUPS = (streams.OCR, streams.VISUALIZE)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LONG_S", 0.3)
    monkeypatch.setattr(waiting, "_LOOK_S", 0.02)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def capture(client: redis.Redis, said: list[str]) -> Session:
    settings = load({"camera": "gate-1", "streams.pixels": "raw", "streams.window_frames": 2})
    return Session("capture", settings, client, log=SimpleNamespace(warning=said.append))


@contextmanager
def producing(capture: Session) -> Iterator[list[int]]:
    """Four frames; a window has two."""
    producer = Producer(capture, "frames", GROUPS)
    out: list[int] = []

    def produce() -> None:
        for frame_id in range(1, 5):
            picture = np.zeros((4, 4, 3), np.uint8)
            if producer.pack(frame_id, picture, waits=True) is None:
                return
            streams.publish(capture.client, KEY, streams.entry_id(frame_id), {"frame_id": "x"})
            out.append(frame_id)

    thread = threading.Thread(target=produce)
    capture.alive()
    thread.start()
    try:
        yield out
    finally:
        capture.stopping.set()
        thread.join(10)
        assert not thread.is_alive()


def ask(client: redis.Redis, group: str) -> None:
    """Takes what there is, and is done with it."""
    consumer = GroupConsumer(client, KEY, group, "test")
    consumer.ack(*[delivery.id for delivery in consumer.read(10, None)])


def test_groups_with_nobody_in_them_are_named_and_are_not_ready(
    capture: Session, client: redis.Redis, said: list[str]
) -> None:
    with producing(capture) as out:
        wait_until(lambda: bool(said), what="a word")
        waits = r"waiting for room: ocr and visualize not done with frame 1 for \d+ s"
        assert re.search(waits, said[0])
        assert "nobody has asked for frames as ocr or visualize yet" in said[0]
        assert not capture.health.is_ready().ok
        assert "nobody has asked for frames as ocr" in capture.health.is_ready().reasons[0]
        ask(client, streams.OCR)
        reason = "nobody has asked for frames as visualize yet"
        wait_until(lambda: reason in str(capture.health.is_ready().reasons), what="the other")
        while len(out) < 4:
            for group in GROUPS:
                ask(client, group)
        assert capture.health.is_ready().ok
    assert len(said) == 1  # the next word would come after a minute


def test_a_group_that_is_slow_is_named_and_the_producer_ready(
    capture: Session, client: redis.Redis, said: list[str]
) -> None:
    with producing(capture) as out:
        wait_until(lambda: len(out) == 2, what="a full window")
        slow = GroupConsumer(client, KEY, streams.VISUALIZE, "test")
        slow.read(10, None)
        while not said:
            ask(client, streams.OCR)
            slow.read(10, None)  # it asks for more, and holds what it has
        assert re.search(r"visualize not done with frame 1 for \d+ s", said[0])
        assert "nobody" not in said[0]
        assert "ocr" not in said[0]
        assert capture.health.is_ready().ok
