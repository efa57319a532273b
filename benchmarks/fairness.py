"""``python -m benchmarks.fairness``: what quiet cameras get of a pool that a busy one shares.

Three live cameras of two frames a second, alone and beside a busy one: live at 30 frames a second,
or a file as fast as it is read. All are read by the same replicas, whose model sleeps 50 ms a
picture, so that what is measured is who gets which turn. Prints for each camera how many readings
it got, of which share of its frames, and how old a reading was when it was published, since the
frame was captured; of a live camera those that were passed over for newer ones are not read.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from platestream import messages, pixels, streams
from platestream.clock import now_ms
from platestream.embedded_redis import EmbeddedRedis, die_with_parent
from platestream.messages import Frame, Mode

_SLEEP_S = 0.05
_WIDTH, _HEIGHT = 64, 36
_START_S = 120.0
_WINDOW = 8  # streams.window_frames


@dataclass(frozen=True)
class Source:
    """A camera of the benchmark.

    Attributes:
        fps: Frames a second, live; 0: a file, as fast as it is taken.
        phase_s: When its first frame comes.
    """

    name: str
    fps: float
    phase_s: float = 0.0

    @property
    def mode(self) -> Mode:
        """How its frames are to be read."""
        return "live" if self.fps else "file"


QUIET = [Source(f"quiet-{n + 1}", 2.0, phase_s=0.137 * n) for n in range(3)]
CASES = [
    ("alone", QUIET),
    ("beside one of 30 fps", [*QUIET, Source("busy", 30.0)]),
    ("beside a file", [*QUIET, Source("file", 0.0)]),
]


@dataclass(frozen=True)
class Served:
    """What a camera got.

    Attributes:
        ages_ms: Of each reading, from its frame's capture until it was published.
    """

    frames: int
    ages_ms: list[int]


def measure(sources: list[Source], replicas: int, seconds: float, batch: int) -> list[Served]:
    """Plays the cameras for so long; returns what each got, in their order."""
    with EmbeddedRedis() as server:
        client = streams.connect(server.url)
        for source in sources:
            streams.ensure_group(client, streams.frames_key(source.name), streams.OCR)
            streams.register_camera(client, source.name, mode=source.mode)
        with _replicas(server.url, replicas, batch):
            until = time.monotonic() + _START_S
            while client.hlen(streams.REPLICAS_KEY) < replicas:
                if time.monotonic() > until:
                    sys.exit(f"not within {_START_S:.0f} s: all replicas")
                time.sleep(0.01)
            end = time.monotonic() + seconds
            played = [
                threading.Thread(target=_play, args=(server.url, source, end)) for source in sources
            ]
            for thread in played:
                thread.start()
            for thread in played:
                thread.join()
            time.sleep(2 * batch * _SLEEP_S)  # the last ones
        return [_served(client, source.name) for source in sources]


@contextmanager
def _replicas(url: str, count: int, batch: int) -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.sleeping_replica", url, str(_SLEEP_S)]
    command += [f"ocr.batch={batch}"]
    processes = [
        subprocess.Popen([*command, f"ocr.name=ocr-{n}"], preexec_fn=die_with_parent)
        for n in range(count)
    ]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _play(url: str, source: Source, end: float) -> None:
    """Publishes a camera's frames until then, in their time or as there is room."""
    client = streams.connect(url)
    key, began = streams.frames_key(source.name), time.monotonic() + source.phase_s
    window = streams.Window(client, key, [streams.OCR], _WINDOW, 1) if not source.fps else None
    frame_id = 0
    while True:
        frame_id += 1
        if window:
            if not window.wait_for_room(frame_id, lambda: time.monotonic() > end):
                return
        else:
            time.sleep(max(0.0, began + (frame_id - 1) / source.fps - time.monotonic()))
        if time.monotonic() > end:
            return
        captured_at_ms = now_ms()
        frame = Frame(
            frame_id=frame_id,
            captured_at_ms=captured_at_ms,
            pts_s=frame_id / 30,
            width=_WIDTH,
            height=_HEIGHT,
            mode=source.mode,
            pixels=pixels.pack(np.zeros((_HEIGHT, _WIDTH, 3), np.uint8), "jpeg"),
        )
        fields = messages.frame_fields(frame)
        streams.publish_captured(
            client, source.name, frame_id, fields, captured_at_ms=captured_at_ms
        )


def _served(client: streams.Client, camera: str) -> Served:
    rows = cast("Any", client.xrange(streams.readings_key(camera)))
    # an automatic entry id begins with the time by Redis's clock, which is this machine's
    ages = [streams.frame_id_of(i) - int(fields[b"captured_at_ms"]) for i, fields in rows]
    return Served(streams.read_counts(client, camera).get("frames_in", 0), ages)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description="What quiet cameras get beside a busy one.")
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--batch", type=int, default=4, help="ocr.batch")
    given = parser.parse_args()
    print(f"{datetime.date.today()}, {os.cpu_count()} cores, {platform.machine()}, load "
          f"{os.getloadavg()[0]:.1f}, {given.replicas} replica(s), a model that sleeps "
          f"{1000 * _SLEEP_S:.0f} ms a picture, batches of {given.batch} at most, "
          f"{given.seconds:g} s each\n")  # fmt: skip
    print("| | camera | frames/s | readings/s | of its frames | age of a reading p50 / p95, ms |\n"
          "|---|---|---|---|---|---|")  # fmt: skip
    for case, sources in CASES:
        served = measure(sources, given.replicas, given.seconds, given.batch)
        for source, got in zip(sources, served, strict=True):
            read = len(got.ages_ms)
            p50, p95 = np.percentile(got.ages_ms or [0], (50, 95))
            print(f"| {case} | {source.name} | {got.frames / given.seconds:.1f} | "
                  f"{read / given.seconds:.1f} | {100 * read / max(1, got.frames):.0f}% | "
                  f"{p50:.0f} / {p95:.0f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
