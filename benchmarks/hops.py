"""``python -m benchmarks.hops``: what a frame's way from one process to the next costs.

For every codec a producer's part (pack, publish) and a consumer's (read, unpack, acknowledge), by
the CPU time of its own process and by the wall clock, frame after frame over a private Redis. What
Redis itself computes is beside it.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import redis

from platestream import messages, streams
from platestream.demo import built_in_clip
from platestream.embedded_redis import EmbeddedRedis
from platestream.messages import Frame
from platestream.pixels import Receiver
from platestream.producer import Producer
from platestream.runtime import Session
from platestream.settings import load

_CAMERA = "hops"
_STEPS = ("pack", "publish", "read", "unpack", "view")


class _Clock:
    """Times of steps, in ms: CPU of this process, and by the wall."""

    def __init__(self) -> None:
        self.cpu: dict[str, list[float]] = {}
        self.wall: dict[str, list[float]] = {}

    def time(self, step: str, call: Callable[[], Any]) -> Any:
        cpu, wall = time.process_time(), time.perf_counter()
        result = call()
        self.wall.setdefault(step, []).append(1000 * (time.perf_counter() - wall))
        self.cpu.setdefault(step, []).append(1000 * (time.process_time() - cpu))
        return result

    def ms(self, step: str) -> tuple[float, float]:
        return float(np.median(self.cpu[step])), float(np.median(self.wall[step]))


def measure(codec: str, images: list[np.ndarray], frames: int, url: str, folder: str) -> _Clock:
    """Sends frames through one hop; the first ring's round is not counted."""
    client = streams.connect(url)
    client.flushall()
    given = {"camera": _CAMERA, "redis.url": url, "streams.pixels": codec}
    session = Session("hops", load(given | {"streams.shm_dir": folder}), client)
    producer = Producer(session, "frames", [streams.VISUALIZE])
    consumer = streams.GroupConsumer(client, producer.key, streams.VISUALIZE, "hops")
    consumer.join()
    receiver = Receiver(session.settings.streams)
    clock = _Clock()
    warm = _Clock()
    cpu_of_redis = 0.0
    for number in range(1, frames + 33):
        if number == 33:
            clock, warm = warm, clock
            cpu_of_redis = _redis_cpu_s(client)
        _hop(clock, client, producer, consumer, receiver, images[number % len(images)], number)
    clock.cpu["redis"] = [1000 * (_redis_cpu_s(client) - cpu_of_redis) / frames]
    clock.wall["redis"] = clock.cpu["redis"]
    producer.close()
    return clock


def _hop(
    clock: _Clock,
    client: redis.Redis,
    producer: Producer,
    consumer: streams.GroupConsumer,
    receiver: Receiver,
    image: np.ndarray,
    number: int,
) -> None:
    height, width = image.shape[:2]
    packed = clock.time("pack", lambda: producer.pack(number, image, waits=True))

    def publish() -> bool:
        frame = Frame(frame_id=number, captured_at_ms=number, pts_s=number / 25, width=width,
                      height=height, pixels=packed)  # fmt: skip
        return streams.publish_captured(client, _CAMERA, number, messages.frame_fields(frame))

    assert clock.time("publish", publish)

    def read() -> tuple[str, Frame]:
        (delivery,) = consumer.read(1, 1000)
        parsed = messages.parse_frame(delivery.fields or {})
        assert isinstance(parsed, Frame)
        return delivery.id, parsed

    entry, frame = clock.time("read", read)
    copied = clock.time("unpack", lambda: receiver.unpack(frame.pixels, width, height))
    assert copied.shape == image.shape

    def view() -> None:
        with receiver.view(frame.pixels, width, height) as seen:
            assert seen.shape == image.shape

    clock.time("view", view)
    consumer.ack(entry)


def _redis_cpu_s(client: redis.Redis) -> float:
    facts: Any = client.info("cpu")
    return float(facts["used_cpu_sys"]) + float(facts["used_cpu_user"])


def _images(source: Path, width: int, height: int, count: int = 8) -> list[np.ndarray]:
    with av.open(str(source)) as video:
        found = []
        for number, frame in enumerate(video.decode(video=0)):
            if number % 20 == 0:
                scaled = frame.reformat(width, height, format="bgr24")
                found.append(scaled.to_ndarray().astype(np.uint8, copy=False))
            if len(found) == count:
                break
    return found


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description="Compares ways for pixels from hop to hop.")
    parser.add_argument("source", nargs="?", type=Path, default=built_in_clip()[0])
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--codecs", nargs="*", default=["shm", "jpeg", "raw"])
    given = parser.parse_args()
    width, height = (int(side) for side in given.size.split("x"))
    images = _images(given.source, width, height)
    print(f"{datetime.date.today()}, {os.cpu_count()} cores, {platform.machine()}, "
          f"{given.source.name} at {given.size}, median of {given.frames} frames, "
          "CPU ms (wall ms)\n")  # fmt: skip
    print("| codec | pack | publish | read | unpack | one hop | without a copy | Redis, CPU |")
    print("|---|---|---|---|---|---|---|---|")
    with (
        EmbeddedRedis() as server,
        tempfile.TemporaryDirectory(dir="/dev/shm", prefix="platestream-hops-") as folder,
    ):
        for codec in given.codecs:
            clock = measure(codec, images, given.frames, server.url, folder)
            cells = [f"{cpu:.2f} ({wall:.2f})" for cpu, wall in map(clock.ms, _STEPS[:4])]
            for steps in (_STEPS[:4], (*_STEPS[:3], "view")):
                sums = [sum(clock.ms(step)[kind] for step in steps) for kind in (0, 1)]
                cells.append(f"{sums[0]:.2f} ({sums[1]:.2f})")
            print(f"| {codec} | {' | '.join(cells)} | {clock.ms('redis')[0]:.2f} |")


if __name__ == "__main__":
    main()
