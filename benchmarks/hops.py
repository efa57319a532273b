"""``python -m benchmarks.hops``: what a frame's way from one process to the next costs.

For every codec what the services do beside their own work, frame after frame over a private
Redis: capture packs and publishes, visualize reads, unpacks to where it draws and publishes, the
writer and OCR read and unpack. Pictures are planes as a decoder gives them; OCR makes BGR of
what it reads, which is counted. CPU is this process's (all of it, the kernel's share included),
and Redis's beside it.
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

from platestream import messages, pixels, streams
from platestream.demo import built_in_clip
from platestream.embedded_redis import EmbeddedRedis
from platestream.messages import Frame, RenderedFrame
from platestream.picture import Picture, bgr, form_of
from platestream.pixels import Receiver
from platestream.producer import Producer
from platestream.runtime import Session
from platestream.settings import load
from platestream.video.source import to_picture

_CAMERA = "hops"
_WARM = 32  # more than a ring has slots: the first touch of memory is not counted
_HOPS = {
    "capture → visualize": ("pack", "publish", "read", "unpack"),
    "visualize → writer": ("pack drawn", "publish drawn", "read drawn", "unpack drawn"),
    "capture → ocr": ("read again", "unpack again"),
}


class _Clock:
    """CPU of this process and wall time of every step, in ms."""

    def __init__(self) -> None:
        self.steps: dict[str, list[tuple[float, float]]] = {}

    def time(self, step: str, call: Callable[[], Any]) -> Any:
        cpu, wall = time.process_time(), time.perf_counter()
        result = call()
        took = 1000 * (time.process_time() - cpu), 1000 * (time.perf_counter() - wall)
        self.steps.setdefault(step, []).append(took)
        return result

    def sums(self, steps: tuple[str, ...]) -> np.ndarray:
        """A row of CPU and wall for each frame."""
        return sum(np.array(self.steps[step]) for step in steps)  # type: ignore[return-value]


class _Way:
    """All hops of one camera, one after the other."""

    def __init__(self, codec: str, url: str, folder: str) -> None:
        self.client = streams.connect(url)
        self.client.flushall()
        given = {"camera": _CAMERA, "redis.url": url, "streams.pixels": codec}
        session = Session("hops", load(given | {"streams.shm_dir": folder}), self.client)
        self._frames = Producer(session, "frames", [streams.VISUALIZE, streams.OCR])
        self._rendered = Producer(session, "rendered", [streams.WRITER])
        self._receiver = Receiver(session.settings.streams)
        self._consumers = {}
        for key, group in ((self._frames.key, streams.VISUALIZE), (self._frames.key, streams.OCR),
                           (self._rendered.key, streams.WRITER)):  # fmt: skip
            self._consumers[group] = streams.GroupConsumer(self.client, key, group, "hops")
            self._consumers[group].join()

    def go(self, clock: _Clock, picture: Picture, number: int) -> None:
        width, height, _ = form_of(picture)
        packed = clock.time("pack", lambda: self._frames.pack(number, picture, waits=True))
        captured = Frame(frame_id=number, captured_at_ms=number, pts_s=number / 25, width=width,
                         height=height, pixels=packed)  # fmt: skip
        clock.time("publish", lambda: streams.publish_captured(
            self.client, _CAMERA, number, messages.frame_fields(captured)))  # fmt: skip
        frame = clock.time("read", lambda: self._read(streams.VISUALIZE, messages.parse_frame))
        form = pixels.form(frame.pixels, width, height)
        canvas = self._rendered.canvas(number, form, waits=True)
        clock.time("unpack", lambda: self._receiver.unpack(
            frame.pixels, width, height, into=canvas))  # fmt: skip
        again = clock.time("read again", lambda: self._read(streams.OCR, messages.parse_frame))
        clock.time("unpack again", lambda: self._receiver.bgr(again.pixels, width, height))
        packed = clock.time("pack drawn", lambda: self._rendered.pack(number, canvas, waits=True))
        drawn = RenderedFrame(**frame.model_dump(exclude={"pixels"}), pixels=packed)
        clock.time("publish drawn", lambda: streams.publish(
            self.client, self._rendered.key, streams.entry_id(number),
            messages.frame_fields(drawn)))  # fmt: skip
        last = clock.time("read drawn", lambda: self._read(streams.WRITER, messages.parse_rendered))
        written = clock.time(
            "unpack drawn", lambda: self._receiver.unpack(last.pixels, width, height)
        )
        if number < 4:
            assert np.abs(bgr(written).astype(int) - bgr(picture)).mean() < 10

    def redis_cpu_ms(self) -> float:
        facts: Any = self.client.info("cpu")
        return 1000 * (float(facts["used_cpu_sys"]) + float(facts["used_cpu_user"]))

    def close(self) -> None:
        self._frames.close()
        self._rendered.close()

    def _read(self, group: str, parse: Callable[[Any], Any]) -> Any:
        (delivery,) = self._consumers[group].read(1, 1000)
        self._consumers[group].ack(delivery.id)
        return parse(delivery.fields)


def measure(codec: str, pictures: list[Picture], frames: int, url: str, folder: str) -> list[str]:
    """The cells of a codec's row."""
    way = _Way(codec, url, folder)
    clock, redis_ms = _Clock(), 0.0
    for number in range(1, _WARM + frames + 1):
        if number == _WARM + 1:
            clock, redis_ms = _Clock(), way.redis_cpu_ms()
        way.go(clock, pictures[number % len(pictures)], number)
    redis_ms = (way.redis_cpu_ms() - redis_ms) / frames / len(_HOPS)
    way.close()
    cells = []
    every = tuple(step for steps in _HOPS.values() for step in steps)
    for steps, parts in (*((steps, 1) for steps in _HOPS.values()), (every, len(_HOPS))):
        sums = clock.sums(steps) / parts
        (cpu, wall), least = np.median(sums, 0), sums[:, 0].min()
        cells.append(f"{cpu:.2f} / {least:.2f} ({wall:.2f})")
    return [*cells, f"{redis_ms:.2f}"]


def _pictures(source: Path, width: int, height: int, count: int = 8) -> list[Picture]:
    with av.open(str(source)) as video:
        found = []
        for number, frame in enumerate(video.decode(video=0)):
            if number % 20 == 0:
                found.append(to_picture(frame.reformat(width, height, format="yuv420p")))
            if len(found) == count:
                break
    return found


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description="Compares ways for pixels, hop by hop.")
    parser.add_argument("source", nargs="?", type=Path, default=built_in_clip()[0])
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--codecs", nargs="*", default=["shm", "jpeg", "raw"])
    given = parser.parse_args()
    width, height = (int(side) for side in given.size.split("x"))
    pictures = _pictures(given.source, width, height)
    print(f"{datetime.date.today()}, {os.cpu_count()} cores, {platform.machine()}, load "
          f"{os.getloadavg()[0]:.0f}, {given.source.name} at {given.size}, {given.frames} frames; "
          "ms: CPU median / least (wall median)\n")  # fmt: skip
    print(f"| codec | {' | '.join(_HOPS)} | mean of a hop | Redis, CPU a hop |")
    print("|---" * (len(_HOPS) + 3) + "|")
    with (
        EmbeddedRedis() as server,
        tempfile.TemporaryDirectory(dir="/dev/shm", prefix="platestream-hops-") as folder,
    ):
        for codec in given.codecs:
            cells = measure(codec, pictures, given.frames, server.url, folder)
            print(f"| {codec} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
