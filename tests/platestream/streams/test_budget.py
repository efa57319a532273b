"""Byte budgets, as a real Redis counts its memory; and a Redis that has none left."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import redis

from platestream import messages, pixels, streams
from platestream.messages import Frame, Pixels
from platestream.producer import Producer
from platestream.runtime import Session
from platestream.settings import load
from platestream.streams import ByteBudget, Delivery, GroupConsumer, Window
from tests.conftest import wait_until

CAMERA = "gate-1"
KEY = streams.frames_key(CAMERA)
MIB = 2**20


def used(client: redis.Redis) -> int:
    return int(client.info("memory")["used_memory"])


def frame_fields(frame_id: int, size: int) -> dict[str, str | bytes]:
    frame = Frame(
        frame_id=frame_id,
        captured_at_ms=frame_id,
        pts_s=0,
        width=10,
        height=10,
        mode="live",
        pixels=Pixels(codec="jpeg", data=bytes(size)),
    )
    return messages.frame_fields(frame)


def stored(client: redis.Redis) -> list[int]:
    return [streams.frame_id_of(i) for i, _ in client.xrange(KEY)]


def test_a_stopped_consumer_does_not_make_redis_grow(real: redis.Redis) -> None:
    """A group that never reads; 600 frames of very different sizes, 20 times the budget."""
    budget_mib = 8
    streams.ensure_group(real, KEY, streams.OCR)
    before = used(real)
    budget = ByteBudget(real, KEY, budget_mib * MIB)
    rng = np.random.default_rng(5)
    # small ones in a row, then large ones: what the last one's size says is wrong every time
    sizes = [int(s) for _ in range(6) for low, high in ((2_000, 20_000), (400_000, 900_000))
             for s in rng.integers(low, high, 50)]  # fmt: skip
    most = 0
    for frame_id, size in enumerate(sizes, 1):
        oldest = budget.oldest_kept(frame_id, streams.held_bytes(size))
        fields = frame_fields(frame_id, size)
        assert streams.publish_captured(real, CAMERA, frame_id, fields, oldest_kept=oldest).new
        most = max(most, used(real) - before)
    assert sum(sizes) > 20 * budget_mib * MIB
    # beside the stream: a megabyte that the connection's buffers take for one large entry
    assert most < budget_mib * MIB + 2 * MIB
    kept = stored(real)
    assert kept == list(range(kept[0], len(sizes) + 1))
    assert sum(sizes[i - 1] for i in kept) > 0.6 * budget_mib * MIB


def test_a_restarted_producer_counts_what_is_there(client: redis.Redis) -> None:
    budget = ByteBudget(client, KEY, MIB)
    for frame_id in range(1, 6):
        streams.publish(
            client, KEY, streams.entry_id(frame_id), frame_fields(frame_id, 150_000),
            oldest_kept=budget.oldest_kept(frame_id, 150_000),
        )  # fmt: skip
    assert stored(client) == [1, 2, 3, 4, 5]
    again = ByteBudget(client, KEY, MIB)
    oldest = again.oldest_kept(6, 400_000)
    streams.publish(client, KEY, "6-0", frame_fields(6, 400_000), oldest_kept=oldest)
    assert stored(client) == [3, 4, 5, 6]


def test_the_newest_frame_stays_however_large(client: redis.Redis) -> None:
    budget = ByteBudget(client, KEY, MIB)
    for frame_id in (1, 2):
        oldest = budget.oldest_kept(frame_id, 3 * MIB)
        streams.publish(
            client, KEY, streams.entry_id(frame_id), frame_fields(frame_id, 10), oldest_kept=oldest
        )
    assert stored(client) == [2]


def test_a_frame_that_comes_again_counts_once(client: redis.Redis) -> None:
    budget = ByteBudget(client, KEY, MIB)
    budget.oldest_kept(1, 300_000)
    for _ in range(9):  # refused by a full Redis again and again
        assert budget.oldest_kept(2, 300_000) == "1-0"


def test_a_window_counts_bytes_too(client: redis.Redis) -> None:
    window = Window(client, KEY, [streams.OCR], 100, first=1, budget_bytes=MIB)
    for frame_id in (1, 2):
        assert window.wait_for_room(frame_id, lambda: True, 400_000)
        streams.publish(client, KEY, streams.entry_id(frame_id), frame_fields(frame_id, 400_000))
    assert not window.wait_for_room(3, lambda: True, 400_000)
    assert window.wait_for_room(3, lambda: True, 10_000)  # a small one fits
    reader = GroupConsumer(client, KEY, streams.OCR, "a")
    reader.ack(*[d.id for d in reader.read(1, None)])
    assert window.wait_for_room(3, lambda: True, 400_000)
    assert stored(client) == [2]
    reader.ack(*[d.id for d in reader.read(9, None)])
    assert window.wait_for_room(3, lambda: True, 50 * MIB)  # alone, it must pass


def test_a_window_waits_for_what_an_earlier_recording_left(client: redis.Redis) -> None:
    """Its pictures may lie in the ring that the new recording writes into."""
    streams.ensure_group(client, KEY, streams.OCR)
    for frame_id in (1, 2, 3):
        streams.publish(client, KEY, streams.entry_id(frame_id), frame_fields(frame_id, 10))
    window = Window(client, KEY, [streams.OCR], 3, first=4)
    assert not window.wait_for_room(4, lambda: True)
    reader = GroupConsumer(client, KEY, streams.OCR, "a")
    reader.ack(*[d.id for d in reader.read(1, None)])
    assert window.wait_for_room(4, lambda: True)


def test_a_captured_frame_counts_once(client: redis.Redis) -> None:
    assert streams.publish_captured(client, CAMERA, 1, frame_fields(1, 10)) == (True, False)
    assert streams.publish_captured(client, CAMERA, 1, frame_fields(1, 10)) == (False, True)
    assert streams.publish_captured(client, CAMERA, 2, frame_fields(2, 10)) == (True, True)
    assert streams.read_hash(client, streams.counts_key(CAMERA))["frames_in"] == "2"
    assert streams.last_frame_id(client, CAMERA) == 2
    assert streams.last_published(client, KEY) == 2
    assert streams.last_published(client, "no such stream") == 0


def test_dead_frames_have_a_budget(real: redis.Redis) -> None:
    streams.ensure_group(real, KEY, streams.OCR)
    key = streams.dead_key(CAMERA)
    large = {k.encode(): v if isinstance(v, bytes) else v.encode()
             for k, v in frame_fields(1, 5 * MIB).items()}  # fmt: skip
    for number in range(1, 40):
        streams.publish(real, KEY, f"{number}-0", {"frame_id": str(number)})
        real.xreadgroup(streams.OCR, "a", {KEY: ">"})
        streams.publish_dead(
            real, CAMERA, Delivery(f"{number}-0", large), "unreadable", most_bytes=128 * MIB
        )
        assert (real.memory_usage(key, samples=0) or 0) <= 128 * MIB
    assert real.xlen(key) >= 5
    newest = real.xrevrange(key, count=1)[0][1]
    assert newest[b"error"] == b"unreadable"


@pytest.fixture
def full(real: redis.Redis) -> Iterator[redis.Redis]:
    """A Redis without room for another entry, which refuses rather than evicts."""
    real.config_set("maxmemory-policy", "noeviction")
    streams.ensure_group(real, KEY, streams.OCR)
    streams.ensure_group(real, KEY, streams.VISUALIZE)
    real.setrange("ballast", 4 * MIB, b"x")  # made there: no buffer of a connection counts
    real.config_set("maxmemory", used(real) - MIB)
    yield real
    real.config_set("maxmemory", 0)


def make_room(client: redis.Redis) -> None:
    client.delete("ballast")
    # Redis itself may say no for a moment longer: its memory is freed by and by
    wait_until(lambda: used(client) < int(client.config_get("maxmemory")["maxmemory"]), 20)


def session(client: redis.Redis, how: str = "jpeg") -> Session:
    return Session("capture", load({"camera": CAMERA, "streams.pixels": how}), client)


IMAGE = np.full((90, 160, 3), 90, np.uint8)


def send(producing: Producer, client: redis.Redis, frame_id: int, *, live: bool) -> bool:
    packed = producing.pack(frame_id, IMAGE, waits=not live)
    assert packed is not None
    frame = Frame(
        frame_id=frame_id, captured_at_ms=1, pts_s=0, width=160, height=90, pixels=packed
    )  # fmt: skip
    return producing.publish(
        frame_id,
        packed,
        lambda oldest: streams.publish_captured(
            client, CAMERA, frame_id, messages.frame_fields(frame), oldest_kept=oldest
        ),
        size=200,
        waits=not live,
        drops=live,
    )


def test_live_a_frame_that_a_full_redis_refuses_is_left_out_and_counted(full: redis.Redis) -> None:
    capture = session(full)
    said: list[str] = []
    capture.log = type("Log", (), {"warning": staticmethod(said.append)})()
    producing = Producer(capture, "frames", [])
    for _ in range(5):
        assert send(producing, full, 1, live=True) is False
    assert full.xlen(KEY) == 0
    assert len(said) == 1  # not once a frame
    assert "is full" in said[0]
    make_room(full)
    assert send(producing, full, 1, live=True) is True
    capture.count(CAMERA)  # what could not be counted then
    counts = streams.read_hash(full, streams.counts_key(CAMERA))
    assert counts["refused_by_redis"] == "5"
    assert counts["frames_in"] == "1"


def test_what_visualize_leaves_out_of_a_full_redis_is_counted_apart(full: redis.Redis) -> None:
    """It has come in; what capture leaves out has not."""
    visualize = session(full)
    producing = Producer(visualize, "rendered", [])
    assert send(producing, full, 1, live=True) is False
    make_room(full)
    visualize.count(CAMERA)
    counts = streams.read_hash(full, streams.counts_key(CAMERA))
    assert counts["refused_before_writer"] == "1"
    assert "refused_by_redis" not in counts


def test_of_a_file_a_full_redis_is_waited_for(full: redis.Redis) -> None:
    capture = session(full)
    producing = Producer(capture, "frames", [streams.OCR])
    published: list[bool] = []
    thread = threading.Thread(target=lambda: published.append(send(producing, full, 1, live=False)))
    thread.start()
    thread.join(0.5)
    assert published == []
    assert full.xlen(KEY) == 0
    make_room(full)
    thread.join(30)
    assert published == [True]
    assert stored(full) == [1]
    assert "refused_by_redis" not in streams.read_hash(full, streams.counts_key(CAMERA))


def test_who_waits_for_a_full_redis_can_be_stopped(full: redis.Redis) -> None:
    capture = session(full)
    producing = Producer(capture, "frames", [streams.OCR])
    capture.stopping.set()
    assert send(producing, full, 1, live=False) is False


def test_readings_of_frames_come_into_a_full_redis(real: redis.Redis) -> None:
    """Their script acknowledges first, and what has begun to write may go on."""
    streams.ensure_group(real, KEY, streams.OCR)
    streams.publish(real, KEY, "1-0", {"frame_id": "1"})
    real.xreadgroup(streams.OCR, "a", {KEY: ">"})
    real.setrange("ballast", 4 * MIB, b"x")
    real.config_set("maxmemory", used(real) - MIB)
    try:
        assert streams.publish_readings(real, CAMERA, [{"frame_id": "1"}], ["1-0"]) == 1
    finally:
        real.config_set("maxmemory", 0)
    assert real.xlen(streams.readings_key(CAMERA)) == 1


def test_a_full_redis_refuses_in_one_way(full: redis.Redis) -> None:
    """A script, too."""
    tally = streams.Tally(full, CAMERA)
    tally.add(readings=1)
    with pytest.raises(redis.OutOfMemoryError):
        tally.send()
    with pytest.raises(redis.OutOfMemoryError):
        streams.publish(full, KEY, "1-0", {"frame_id": "1"})


@pytest.mark.parametrize("how", ["shm", "jpeg", "raw"])
def test_a_producer_keeps_to_its_budget_whichever_way(
    real: redis.Redis, tmp_path: object, how: str
) -> None:
    flags = {"camera": CAMERA, "streams.pixels": how, "streams.shm_dir": str(tmp_path)}
    capture = Session("capture", load(flags | {"streams.budget_mib": 4}), real)
    streams.ensure_group(real, KEY, streams.OCR)
    before = used(real)
    producing = Producer(capture, "frames", [])
    rng = np.random.default_rng(2)
    noise = [rng.integers(0, 256, (360, 640, 3), np.uint8) for _ in range(3)]
    most = 0
    for frame_id in range(1, 101):
        packed = producing.pack(frame_id, noise[frame_id % 3], waits=False)
        assert packed is not None
        frame = Frame(
            frame_id=frame_id, captured_at_ms=1, pts_s=0, width=640, height=360, pixels=packed
        )
        fields = messages.frame_fields(frame)
        producing.publish(
            frame_id,
            packed,
            lambda oldest, i=frame_id, f=fields: streams.publish_captured(  # type: ignore[misc]
                real, CAMERA, i, f, oldest_kept=oldest
            ),
            size=streams.size_of(fields),
            waits=False,
            drops=True,
        )
        most = max(most, used(real) - before)
    assert most < 4 * MIB + 2 * MIB
    newest = messages.parse_frame(real.xrevrange(KEY, count=1)[0][1])
    assert isinstance(newest, Frame)
    receiver = pixels.Receiver(capture.settings.streams)
    assert receiver.unpack(newest.pixels, 640, 360).shape == (360, 640, 3)
    producing.close()
