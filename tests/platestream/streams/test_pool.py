"""A consumer of many cameras: fair shares, cameras that come and go, a Redis Cluster's slots."""

from __future__ import annotations

import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from platestream import streams
from platestream.embedded_redis import EmbeddedRedis
from platestream.streams import PoolConsumer
from tests.conftest import wait_until


def put(client: redis.Redis, camera: str, *frame_ids: int) -> None:
    for frame_id in frame_ids:
        streams.publish_captured(client, camera, frame_id, {"frame_id": str(frame_id)})


def finish(client: redis.Redis, taken: list[streams.PoolDelivery]) -> None:
    for delivery in taken:
        done = [delivery.id]
        fields = {"frame_id": str(delivery.frame_id)}
        streams.publish_readings(client, delivery.camera, [fields], done, source=delivery.key)


def pool(client: redis.Redis, *cameras: str, mode: str = "file", name: str = "a") -> PoolConsumer:
    for camera in cameras:
        streams.register_camera(client, camera, mode=mode, first_frame_id="1")
    made = PoolConsumer(client, name)
    made.serve(cameras)
    return made


def test_a_thousand_frames_of_one_camera_do_not_keep_another_waiting(real: redis.Redis) -> None:
    """Camera b's frames are in the very next batch, whenever they come."""
    consumer = pool(real, "a", "b")
    put(real, "a", *range(1, 1001))
    order: list[tuple[str, int]] = []
    b_frames = 0
    while batch := consumer.take(4, 1):
        finish(real, batch)
        order += [(delivery.camera, delivery.frame_id) for delivery in batch]
        if b_frames:
            assert ("b", b_frames) in order
        if len(order) % 7 < 4 and b_frames < 100:  # now and then
            b_frames += 1
            put(real, "b", b_frames)
    assert [i for camera, i in order if camera == "a"] == list(range(1, 1001))
    assert [i for camera, i in order if camera == "b"] == list(range(1, 101))


def test_a_batch_is_shared_out_among_the_cameras_that_have_frames(real: redis.Redis) -> None:
    consumer = pool(real, *"abcdef")
    for camera in "abc":
        put(real, camera, *range(1, 21))
    batches = [consumer.take(4, 1) for _ in range(15)]
    assert all(len(batch) == 4 for batch in batches)
    assert all(len({delivery.camera for delivery in batch}) == 3 for batch in batches)
    assert Counter(d.camera for batch in batches for d in batch) == {"a": 20, "b": 20, "c": 20}


def test_one_camera_alone_gets_the_whole_batch(client: redis.Redis) -> None:
    consumer = pool(client, *"abc")
    put(client, "b", 1, 2, 3, 4, 5)
    assert [d.frame_id for d in consumer.take(4, 1)] == [1, 2, 3, 4]


def test_live_cameras_get_equally_many_readings_however_fast_they_are(real: redis.Redis) -> None:
    """Of 20, 5 and 2 frames between two batches, with room for two frames in each."""
    rates = {"fast": 20, "slow": 5, "slowest": 2}
    consumer = pool(real, *rates, mode="live")
    read: Counter[str] = Counter()
    last = dict.fromkeys(rates, 0)
    for _ in range(90):
        for camera, rate in rates.items():
            put(real, camera, *range(last[camera] + 1, last[camera] + rate + 1))
            last[camera] += rate
        batch = consumer.take(2, 1)
        assert all(delivery.frame_id == last[delivery.camera] for delivery in batch)  # the newest
        read.update(delivery.camera for delivery in batch)
        finish(real, batch)
    assert read == {"fast": 60, "slow": 60, "slowest": 60}
    for camera in rates:
        unread = last[camera] - streams.first_unfinished(
            real, streams.frames_key(camera), streams.OCR
        )
        assert consumer.skipped[camera] + read[camera] == last[camera] - unread - 1
        counted = streams.read_counts(real, camera)["skipped_by_ocr"]
        assert counted == consumer.skipped[camera]


def test_what_is_skipped_without_an_answer_is_counted(silent: EmbeddedRedis) -> None:
    """Redis does what it was sent while it stood still."""
    other = streams.connect(silent.url)
    consumer = pool(streams.connect(silent.url, timeout_s=0.5), "a", mode="live")
    put(other, "a", 1)
    assert [d.frame_id for d in consumer.take(1, 1)] == [1]
    put(other, "a", *range(2, 12))
    silent.process.send_signal(signal.SIGSTOP)
    with pytest.raises(redis.TimeoutError):
        consumer.take(1, 1)
    silent.process.send_signal(signal.SIGCONT)
    key = streams.frames_key("a")
    wait_until(lambda: streams.last_handed_out(other, key, streams.OCR) == 11)
    assert streams.read_counts(other, "a")["skipped_by_ocr"] == 9


def test_while_live_cameras_have_frames_a_file_does_not_fill_batches(
    real: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would wait for four of its frames to be read, and then for three beside their own."""
    consumer = pool(real, "live", mode="live")
    streams.register_camera(real, "file", mode="file", first_frame_id="1")
    consumer.serve(["live", "file"])
    put(real, "file", *range(1, 100))
    assert [d.camera for d in consumer.take(4, 1)] == ["file"] * 4  # no live one has had any yet
    put(real, "live", 1)
    consumer.take(4, 1)
    for frame_id in range(2, 6):
        assert [d.camera for d in consumer.take(4, 1)] == ["file"]
        put(real, "live", frame_id)
        assert sorted(d.camera for d in consumer.take(4, 1)) == ["file", "live"]
    monkeypatch.setattr(streams.pool, "_LIVE_S", 0.0)
    assert [d.camera for d in consumer.take(4, 1)] == ["file"] * 4


def test_a_file_that_begins_where_a_live_camera_was_loses_no_frame(client: redis.Redis) -> None:
    consumer = pool(client, "a", mode="live")
    streams.register_camera(client, "a", mode="file")
    put(client, "a", 1, 2, 3)
    assert [d.frame_id for _ in range(3) for d in consumer.take(1, 1)] == [1, 2, 3]
    assert consumer.skipped == {}


def test_cameras_come_and_go(real: redis.Redis) -> None:
    client = real
    consumer = pool(client, "a")
    put(client, "b", 1, 2)
    assert consumer.take(4, 1) == []
    assert consumer.serve(["a", "b"]) == (["b"], [])
    assert [d.camera for d in consumer.take(1, 1)] == ["b"]
    assert consumer.serve(["a"]) == ([], ["b"])
    assert consumer.take(4, 1) == []
    assert consumer.serve(["a", "b"]) == (["b"], [])
    assert [d.frame_id for d in consumer.own_pending(["b"])] == [1]
    assert [d.frame_id for d in consumer.take(4, 1)] == [2]


def test_a_camera_that_is_forgotten_and_begins_again_is_served(real: redis.Redis) -> None:
    consumer = pool(real, "a", "b")
    put(real, "a", 1)
    assert len(consumer.take(4, 1)) == 1
    streams.forget_camera(real, "a")
    put(real, "b", 1)
    assert [d.camera for d in consumer.take(4, 1)] == ["b"]
    put(real, "a", 2)
    assert [(d.camera, d.frame_id) for d in consumer.take(4, 1)] == [("a", 2)]
    streams.forget_camera(real, "a")
    assert consumer.take(4, 1) == []  # it waits on keys of which one is gone
    put(real, "a", 3)
    assert [(d.camera, d.frame_id) for d in consumer.take(4, 1)] == [("a", 3)]


def test_a_frame_ends_the_wait_of_an_idle_consumer(real: redis.Redis) -> None:
    consumer = pool(real, *"abc")
    assert consumer.take(4, 10) == []
    got: list[str] = []
    waiting = threading.Thread(target=lambda: got.extend(d.camera for d in consumer.take(4, 9000)))
    waiting.start()
    wait_until(lambda: real.info("clients")["blocked_clients"] == 1, 10, "a blocked reader")
    put(real, "c", 1)
    wait_until(lambda: got == ["c"], 5, "the frame")
    waiting.join()


def test_what_was_held_comes_again_one_by_one(real: redis.Redis) -> None:
    client = real
    consumer = pool(client, "a", "b")
    put(client, "a", 1, 2)
    put(client, "b", 1)
    assert len(consumer.take(4, 1)) == 3
    again = pool(client, "a", "b").own_pending(["a", "b"])
    first = next(again)
    assert (first.camera, first.frame_id, first.deliveries) == ("a", 1, 2)
    key = streams.frames_key("a")
    rows = client.xpending_range(key, streams.OCR, "-", "+", 9)
    assert [row["times_delivered"] for row in rows] == [2, 1]  # the next has not been touched
    assert [(d.camera, d.frame_id) for d in again] == [("a", 2), ("b", 1)]


def test_claims_take_one_frame_at_a_time_of_any_camera(real: redis.Redis) -> None:
    pool(real, "a", "b", name="dead")
    put(real, "a", 1, 2)
    put(real, "b", 1)
    assert len(pool(real, "a", "b", name="dead").take(4, 1)) == 3
    alive = pool(real, "a", "b", name="alive")
    assert alive.claim(60_000) == ([], {})
    found = []
    while taken := alive.claim(0)[0]:
        assert len(taken) == 1
        assert taken[0].deliveries == 2
        found += taken
        finish(real, taken)
    assert [(d.camera, d.frame_id) for d in found] == [("a", 1), ("a", 2), ("b", 1)]


def set_clock_back(client: redis.Redis, key: str, by_ms: int) -> None:
    """Leaves a stream as it is where Redis's clock has been set back: all of it lies ahead."""
    dump = bytearray(client.dump(key) or b"")
    now_ms = 1000 * client.time()[0]
    at = 0
    while at < len(dump) - 18:  # behind it: the format's version, a sum
        (ms,) = struct.unpack_from("<q", dump, at)
        if abs(ms - now_ms) < 60_000:
            struct.pack_into("<q", dump, at, ms + by_ms)
            at += 7
        at += 1
    dump[-8:] = struct.pack("<Q", crc64(bytes(dump[:-8])))
    client.restore(key, 0, bytes(dump), replace=True)


def crc64(data: bytes) -> int:
    """Redis's sum of a dump: Jones's polynomial, bits the other way round."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x95AC9329AC4BC9B5 if crc & 1 else 0)
    return crc


def test_what_was_handed_out_before_redis_clock_was_set_back_is_claimed_all_the_same(
    real: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams.pool, "_AHEAD_LOOK_S", 0.05)
    put(real, "x", 1, 2)
    dead, alive = pool(real, "x"), pool(real, "x", name="b")
    assert len(dead.take(2, 1)) == 2
    set_clock_back(real, streams.frames_key("x"), 3_600_000)
    assert real.xpending_range(streams.frames_key("x"), "ocr", "-", "+", 9, idle=1) == []
    claimed: list[int] = []

    def claims() -> int:
        deliveries, lost = alive.claim(300)
        assert not lost
        claimed.extend(one.frame_id for one in deliveries)
        return len(claimed)

    began = time.monotonic()
    wait_until(lambda: claims() == 1, what="a claim")
    assert time.monotonic() - began >= 0.3
    wait_until(lambda: claims() == 2, what="a second claim")
    assert claimed == [1, 2]


def test_what_was_trimmed_before_a_claim_is_lost_and_counted(real: redis.Redis) -> None:
    assert pool(real, "a", name="dead").take(4, 1) == []
    put(real, "a", 1, 2, 3)
    assert len(pool(real, "a", name="dead").take(4, 1)) == 3
    real.xtrim(streams.frames_key("a"), minid="3-0", approximate=False)
    alive = pool(real, "a", name="alive")
    lost = 0
    found: list[int] = []
    for _ in range(5):
        taken, gone = alive.claim(0)
        lost += gone.get("a", 0)
        found += [delivery.frame_id for delivery in taken]
        finish(real, taken)
    assert (found, lost) == ([3], 2)


def test_of_two_replicas_with_one_frame_the_first_counts(real: redis.Redis) -> None:
    client = real
    first, second = pool(client, "a", name="first"), pool(client, "a", name="second")
    put(client, "a", 1)
    slow = first.take(1, 1)
    claimed, _ = second.claim(0)
    assert [d.id for d in claimed] == [d.id for d in slow]
    finish(client, claimed)
    finish(client, slow)  # late
    assert client.xlen(streams.readings_key("a")) == 1
    assert streams.read_hash(client, streams.counts_key("a"))["readings"] == "1"
    assert streams.first_unfinished(client, streams.frames_key("a"), streams.OCR) == 2


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[redis.RedisCluster]:
    """A Redis Cluster of one node: it refuses commands over several slots as any other."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server here")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    if port > 55535:
        port -= 10_000  # its bus takes the port 10,000 above
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--cluster-enabled", "yes"]
    command += ["--save", "", "--dir", str(tmp_path), "--logfile", "log"]
    process = subprocess.Popen(command)
    try:
        node = redis.Redis(port=port)
        wait_until(lambda: _answers(node), 10, "the cluster's node")
        node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait_until(lambda: node.cluster("INFO")["cluster_state"] == "ok", 20, "the cluster")
        yield redis.RedisCluster(host="127.0.0.1", port=port)
    finally:
        process.kill()
        process.wait(10)


def _answers(node: redis.Redis) -> bool:
    try:
        return bool(node.ping())
    except redis.ConnectionError:
        return False


def test_cameras_in_several_slots_of_a_cluster(cluster: redis.RedisCluster) -> None:
    client: redis.Redis = cluster  # type: ignore[assignment]
    consumer = pool(client, "a", "b", "c")
    assert consumer.take(4, 30) == []
    for camera in "abc":
        put(client, camera, 1, 2)
    taken = consumer.take(4, 1) + consumer.take(4, 1)
    assert Counter(d.camera for d in taken) == {"a": 2, "b": 2, "c": 2}
    other = pool(client, "a", "b", "c", name="other")
    finish(client, other.claim(0)[0])
    finish(client, taken)
    assert sum(client.xlen(streams.readings_key(camera)) for camera in "abc") == 6
    consumer.leave()
    live = pool(client, "d", "e", mode="live")
    for camera in "de":
        put(client, camera, 1, 2, 3)
    assert {(d.camera, d.frame_id) for d in live.take(4, 1)} == {("d", 3), ("e", 3)}
    assert live.skipped == {"d": 2, "e": 2}
