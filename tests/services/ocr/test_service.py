"""The pool as processes: cameras come and go, replicas are slow, stopped, killed, poisoned."""

from __future__ import annotations

import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable

import pytest
import redis

from platestream import cli, options, streams
from platestream.camera_claim import take_camera
from platestream.embedded_redis import EmbeddedRedis
from services.ocr.presence import CLAIM_FACTOR
from tests.conftest import wait_until
from tests.services.ocr.conftest import capture, counted, frames_read, held
from tests.sources import free_port

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def server(any_server: EmbeddedRedis) -> EmbeddedRedis:
    """One of the two servers for each test: what starts processes takes long enough with one."""
    return any_server


def alive(client: redis.Redis, name: str) -> bool:
    return bool(client.hexists(streams.REPLICAS_KEY, name))


def slowest_ms(client: redis.Redis, name: str) -> int:
    said = client.hget(streams.REPLICAS_KEY, name)
    return int(said.split()[1]) if said else 0


def measured(port: int) -> set[str]:
    """The cameras of which a replica has metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return set(re.findall(r'camera="(.*?)"', answer.read().decode()))


def test_a_pool_serves_cameras_that_come_while_it_runs(real: redis.Redis, replica: Start) -> None:
    port = free_port()
    process = replica("one", {}, f"http.port={port}")
    wait_until(lambda: alive(real, "one"), 60, "the replica")
    for camera in ("a", "b"):
        capture(real, camera, *range(1, 6))
        wait_until(lambda c=camera: len(frames_read(real, c)) == 5, 20, "readings")  # type: ignore[misc]
    consumers = streams.frames_key("a"), streams.OCR
    assert {"a", "b"} <= measured(port)
    real.srem(streams.CAMERAS_KEY, "a")
    wait_until(lambda: not real.xinfo_consumers(*consumers), 20, "the camera is dropped")
    wait_until(lambda: measured(port) == {"b"}, 20, "its metrics dropped too")
    process.terminate()
    assert process.wait(20) == 0
    assert not alive(real, "one")
    assert real.keys("alive:*") == []
    assert not real.xinfo_consumers(streams.frames_key("b"), streams.OCR)


def test_a_restricted_replica_serves_its_cameras_only(real: redis.Redis, replica: Start) -> None:
    for camera in ("a", "b", "c"):
        capture(real, camera, 1)
    replica("one", {}, "ocr.cameras=a,c")
    wait_until(lambda: frames_read(real, "a") == frames_read(real, "c") == [1], 60, "readings")
    assert frames_read(real, "b") == []
    assert {key.decode().rsplit(":", 2)[0] for key in real.keys("alive:*")} == {
        "alive:{a}:ocr",
        "alive:{c}:ocr",
    }


def test_a_pool_keeps_no_camera_in_use(real: redis.Redis, replica: Start) -> None:
    """`run --redis` may take a camera that only the pool serves, not one of another's."""
    capture(real, "a", 1)
    replica("one")
    wait_until(lambda: frames_read(real, "a") == [1], 60, "a reading")
    wait_until(lambda: real.keys("alive:ocr:*"), 10, "the pool's heartbeat")
    before = time.monotonic()
    take_camera(real, streams.RunClaim(real, "a"))
    assert time.monotonic() - before < 5
    capture(real, "a", 2)
    wait_until(lambda: frames_read(real, "a") == [2], 20, "a reading of the new recording")


def test_a_slow_replica_is_not_claimed_from(real: redis.Redis, replica: Start) -> None:
    """Batches of 1.5 s against a floor of 0.8 s; another replica has nothing else to do."""
    replica("slow", {"delay_s": 1.5}, "ocr.batch=1", "ocr.claim_after_ms=800", "ocr.cameras=a")
    capture(real, "a", *range(1, 5))
    wait_until(lambda: held(real, "a", "slow"), 60, "a first batch")
    replica("eager", {}, "ocr.claim_after_ms=800", "ocr.cameras=a,b")
    wait_until(lambda: len(frames_read(real, "a")) == 4, 60, "readings")
    assert counted(real, "a", "claimed_by_ocr") == 0
    capture(real, "a", 11)
    capture(real, "b", 1)
    wait_until(lambda: frames_read(real, "b") == [1], 30, "the other one")


def test_a_killed_replicas_frames_are_claimed_in_the_adapted_time(
    real: redis.Redis, replica: Start
) -> None:
    floor_ms, delay_s = 500, 0.6
    settings = ("ocr.batch=2", f"ocr.claim_after_ms={floor_ms}")
    capture(real, "a", *range(1, 5))
    victim = replica("victim", {"delay_s": delay_s}, *settings)
    wait_until(lambda: len(frames_read(real, "a")) == 4, 60, "its first batches")
    capture(real, "a", 5, 6)
    wait_until(lambda: held(real, "a", "victim"), 20, "a batch that it holds")
    taken_over = held(real, "a", "victim")
    victim.kill()
    killed_at = time.monotonic()
    replica("heir", {"delay_s": delay_s}, *settings)
    wait_until(lambda: alive(real, "heir"), 60, "the other replica")
    ready_s = time.monotonic() - killed_at
    wait_until(lambda: sorted(frames_read(real, "a")) == [1, 2, 3, 4, 5, 6], 30, "readings")
    took_s = time.monotonic() - killed_at
    assert taken_over
    assert counted(real, "a", "claimed_by_ocr") == len(taken_over)
    claim_s = max(floor_ms / 1000, CLAIM_FACTOR * max(delay_s, slowest_ms(real, "heir") / 1000))
    slack_s = 5.0  # a loaded machine; each frame that is claimed is read alone
    assert took_s < max(ready_s, claim_s) + len(taken_over) * (delay_s + 0.25) + slack_s


def test_a_broken_replica_ends_and_leaves_its_frames_to_the_others(
    real: redis.Redis, replica: Start
) -> None:
    """It fails at once, and would be handed most frames."""
    frames = range(1, 21)
    capture(real, "a", *frames)
    settings = ("ocr.batch=2", "ocr.claim_after_ms=500", "log.level=critical")
    broken = replica("broken", {"breaks": [1]}, *settings)
    assert broken.wait(60) == 1  # it is worth starting again
    assert frames_read(real, "a") == []
    replica("whole", {}, *settings)
    wait_until(lambda: sorted(frames_read(real, "a")) == [*frames], 60, "readings of all")
    assert list(streams.list_dead(real, "a")) == []


def test_a_stopped_replica_that_goes_on_does_no_harm(real: redis.Redis, replica: Start) -> None:
    settings = ("ocr.batch=2", "ocr.claim_after_ms=500")
    sleeper = replica("sleeper", {"delay_s": 0.4}, *settings)
    wait_until(lambda: alive(real, "sleeper"), 60, "the replica")
    capture(real, "a", *range(1, 9))
    wait_until(lambda: held(real, "a", "sleeper"), 20, "a batch that it holds")
    sleeper.send_signal(signal.SIGSTOP)
    stopped_with = held(real, "a", "sleeper")
    replica("other", {}, *settings)
    wait_until(lambda: len(frames_read(real, "a")) == 8, 60, "all readings")
    sleeper.send_signal(signal.SIGCONT)
    expected = len(stopped_with)
    if expected:  # it may have been stopped between two batches
        wait_until(lambda: counted(real, "a", "read_twice") == expected, 20, "the late ones")
    capture(real, "a", 20)
    wait_until(lambda: 20 in frames_read(real, "a"), 20, "a frame after it")
    assert sorted(frames_read(real, "a")) == [*range(1, 9), 20]  # each of them once
    assert counted(real, "a", "readings") == 9
    key = streams.frames_key("a")
    assert streams.first_unfinished(real, key, streams.OCR) == 21


def test_a_frame_that_kills_its_reader_takes_no_other_with_it(
    real: redis.Redis, replica: Start
) -> None:
    """Two replicas, each started again when it dies, as a supervisor does."""
    settings = ("ocr.batch=4", "ocr.claim_after_ms=500", "ocr.cameras=a,b")
    capture(real, "a", *range(1, 13))
    capture(real, "b", *range(101, 109))
    running = {name: replica(name, {"kills": [6]}, *settings) for name in ("one", "two")}
    codes: list[int | None] = []

    def through() -> bool:
        for name, process in running.items():
            if process.poll() is not None:
                codes.append(process.returncode)
                running[name] = replica(name, {"kills": [6]}, *settings)
        return len(frames_read(real, "a")) == 11 and counted(real, "a", "dead") == 1

    wait_until(through, 100, "the frames are through")
    assert codes == [139] * 3
    assert sorted(frames_read(real, "a")) == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12]
    wait_until(lambda: sorted(frames_read(real, "b")) == list(range(101, 109)), 20, "camera b")
    (dead,) = streams.list_dead(real, "a")
    assert (dead.frame_id, dead.error) == (6, "handed out 3 times and never finished")
    assert list(streams.list_dead(real, "b")) == []
    assert streams.first_unfinished(real, streams.frames_key("a"), streams.OCR) == 13


def test_a_dead_frame_that_can_be_read_now_is_read_when_tried_again(
    server: EmbeddedRedis, real: redis.Redis, replica: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    capture(real, "a", 1, 2, 3)
    broken = replica("broken", {"fails": [2]})
    wait_until(lambda: counted(real, "a", "dead") == 1, 60, "a dead frame")
    retry = ["dead", "retry", "--all", "--redis", server.url]
    assert options.invoke_app(cli.app, "platestream", retry) == 0
    wait_until(lambda: counted(real, "a", "dead") == 2, 20, "the same once more")
    broken.terminate()
    assert broken.wait(20) == 0
    replica("mended")
    assert options.invoke_app(cli.app, "platestream", retry) == 0
    wait_until(lambda: frames_read(real, "a") == [1, 3, 2], 60, "its reading")
    assert list(streams.list_dead(real, "a")) == []
    assert real.xlen(streams.retry_key("a")) == 0


@pytest.mark.soak
def test_many_cameras_share_replicas_evenly(real: redis.Redis, replica: Start) -> None:
    """Live cameras of very different rates, two replicas that are too slow for all frames."""
    rates = {"a": 8, "b": 4, "c": 2}
    for camera in rates:
        capture(real, camera, 1, mode="live")
    for name in ("one", "two"):
        replica(name, {"delay_s": 0.08}, "ocr.batch=1")
    wait_until(lambda: alive(real, "one") and alive(real, "two"), 60, "two replicas")
    before = {camera: len(frames_read(real, camera)) for camera in rates}
    last = dict.fromkeys(rates, 1)

    def captured() -> bool:  # every 10 ms
        for camera, rate in rates.items():
            capture(real, camera, *range(last[camera] + 1, last[camera] + 1 + rate), mode="live")
            last[camera] += rate
        return sum(len(frames_read(real, camera)) - before[camera] for camera in rates) >= 120

    wait_until(captured, 60, "readings")
    read = {camera: len(frames_read(real, camera)) - before[camera] for camera in rates}
    assert max(read.values()) <= 1.3 * min(read.values()), read
