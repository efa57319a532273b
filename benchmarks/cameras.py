"""``python -m benchmarks.cameras``: many live cameras at once, on a private Redis.

Plays a clip live as so many cameras, through ``capture|track|visualize|writer --cameras`` and a
pool of OCR replicas, and prints what each camera got and what each kind of process cost. CPU
time a frame and bytes a frame depend little on what else the machine does; rates and ages do.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import redis

from platestream import streams
from platestream.demo import built_in_clip
from platestream.embedded_redis import EmbeddedRedis
from platestream.video import VideoEncoder, VideoSource

_TICK = os.sysconf("SC_CLK_TCK")
_SAMPLE_S = 0.5
_START_S = 120.0
_DRAIN_S = 30.0


def make_clip(path: Path, fps: int, height: int, seconds: float) -> int:
    """Writes the built-in clip smaller and slower, over and over; returns how many frames."""
    clip, _ = built_in_clip()
    with VideoSource(str(clip)) as video:
        step = max(1, round(float(video.rate) / fps))
        width = round(video.width * height / video.height / 2) * 2
        pictures = [
            cv2.resize(frame.image, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
            for number, frame in enumerate(video.frames())
            if number % step == 0
        ]
    frames = round(seconds * fps)
    encoder = VideoEncoder(path, width, height, Fraction(fps))
    for number, picture in enumerate(itertools.islice(itertools.cycle(pictures), frames)):
        encoder.write(picture, number / fps)
    encoder.close()
    return frames


@dataclass
class Processes:
    """All processes of one kind, watched from outside: CPU seconds and memory.

    Attributes:
        root: The process that the others of its kind are children of.
        began, latest: CPU seconds by process id.
        rss, pss: KiB by process id, at the last look; pss shares out what processes share.
    """

    root: int
    began: dict[int, float] = field(default_factory=dict)
    latest: dict[int, float] = field(default_factory=dict)
    rss: dict[int, int] = field(default_factory=dict)
    pss: dict[int, int] = field(default_factory=dict)

    def look(self, *, begin: bool = False, memory: bool = False) -> None:
        """Takes the state of all of them down."""
        children = Path(f"/proc/{self.root}/task/{self.root}/children").read_text().split()
        for pid in [self.root, *map(int, children)]:
            try:
                stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                cpu_s = (int(stat[11]) + int(stat[12])) / _TICK  # utime, stime (proc(5))
                self.latest[pid] = cpu_s
                if begin:
                    self.began[pid] = cpu_s
                if memory:
                    said = Path(f"/proc/{pid}/smaps_rollup").read_text()
                    for name, kept in (("Rss", self.rss), ("Pss", self.pss)):
                        found = re.search(rf"^{name}:\s+(\d+) kB", said, re.M)
                        kept[pid] = int(found[1]) if found else 0
            except (FileNotFoundError, ProcessLookupError):
                continue

    def cpu_s(self) -> float:
        """CPU seconds since the beginning (of a process that came later: all of its own)."""
        return sum(cpu - self.began.get(pid, 0.0) for pid, cpu in self.latest.items())

    def starting_cpu_s(self) -> float:
        """CPU seconds before the beginning."""
        return sum(self.began.values())


@dataclass(frozen=True)
class Traffic:
    """What has gone through Redis, by its own account (``INFO``), in bytes.

    Attributes:
        received, sent: Since it started, protocol included.
        peak: The most memory that it has needed.
    """

    received: int
    sent: int
    peak: int

    @classmethod
    def of(cls, client: redis.Redis) -> Traffic:
        """As it stands now."""
        facts = client.info()
        return cls(
            int(facts["total_net_input_bytes"]),
            int(facts["total_net_output_bytes"]),
            int(facts["used_memory_peak"]),
        )

    def __sub__(self, before: Traffic) -> Traffic:
        return Traffic(self.received - before.received, self.sent - before.sent, self.peak)


@contextmanager
def service(name: str, log: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A service under way; ended by SIGTERM."""
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", f"services.{name}", *words], stdout=file, stderr=file
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(client: redis.Redis, cameras: list[str], names: tuple[str, ...]) -> None:
    """Waits until every camera has its services; a service says so by its heartbeat."""
    until = time.monotonic() + _START_S
    missing = {f"alive:{{{camera}}}:{name}:" for camera in cameras for name in names}
    while missing:
        keys = [key.decode() for key in client.scan_iter(match="alive:*", count=10_000)]
        missing = {prefix for prefix in missing if not any(k.startswith(prefix) for k in keys)}
        if time.monotonic() > until:
            sys.exit(f"did not start within {_START_S:.0f} s: {', '.join(sorted(missing)[:4])}")
        time.sleep(0.1)


def wait_for_replicas(logs: list[Path]) -> None:
    """Waits until every OCR replica has loaded its networks and says that it is ready."""
    until = time.monotonic() + _START_S
    while not all("ready" in log.read_text() for log in logs):
        if time.monotonic() > until:
            sys.exit(f"OCR was not ready within {_START_S:.0f} s")
        time.sleep(0.1)


def counts(client: redis.Redis, camera: str) -> dict[str, int]:
    """A camera's counters."""
    found = streams.read_hash(client, streams.counts_key(camera))
    return {name: int(value) for name, value in found.items()}


def run(given: argparse.Namespace, folder: Path) -> None:
    """Measures, and prints."""
    clip = folder / "clip.mp4"
    frames = make_clip(clip, given.fps, int(given.side.rstrip("p")), given.seconds)
    names = [f"camera-{number + 1}" for number in range(given.cameras)]
    cameras = folder / "cameras.toml"
    cameras.write_text(
        "".join(
            f"[cameras.{n}]\nsource = '{clip}'\ncapture.live = {str(not given.file).lower()}\n"
            for n in names
        )
    )
    more = [word for assignment in given.set for word in ("--set", assignment)]
    began_at = time.monotonic()
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedRedis())
        client = streams.connect(server.url)
        watched = {"redis": Processes(server.process.pid)}

        def start(kind: str, *words: str) -> None:
            log = folder / f"{kind}.log"
            words = (*words, "--redis", server.url, *more)
            process = stack.enter_context(service(kind.split("-")[0], log, *words))
            watched[kind] = Processes(process.pid)

        fleet = ("--cameras", str(cameras))
        start("writer", f"{folder}/{{camera}}.mp4", *fleet)
        start("visualize", *fleet)
        start("track", *fleet)
        for number in range(given.ocr):
            start(f"ocr-{number + 1}")
        wait_for(client, names, ("writer", "visualize", "track"))
        wait_for_replicas([folder / f"ocr-{number + 1}.log" for number in range(given.ocr)])
        start_s = time.monotonic() - began_at
        start("capture", *fleet)
        wait_for(client, names, ("capture",))
        for processes in watched.values():
            processes.look(begin=True)
        began = time.monotonic()
        traffic = Traffic.of(client)
        first: dict[str, float] = {}
        last: dict[str, tuple[float, int]] = {}
        middle = began + given.seconds / 2
        until = began + given.seconds + _DRAIN_S
        while time.monotonic() < until:
            now = time.monotonic()
            for name in names:
                written = counts(client, name).get("frames_written", 0)
                if written:
                    first.setdefault(name, now)
                if written != last.get(name, (0.0, 0))[1]:
                    last[name] = (now, written)
            memory = now >= middle
            middle = float("inf") if memory else middle
            for processes in watched.values():
                processes.look(memory=memory)
            if all(streams.is_through(client, n, streams.WRITER) for n in last) and len(
                last
            ) == len(names):
                break
            time.sleep(_SAMPLE_S)
        wall_s = time.monotonic() - began
        found = {name: counts(client, name) for name in names}
        traffic = Traffic.of(client) - traffic
    print(
        f"{datetime.date.today()}, {os.cpu_count()} cores, {platform.machine()}, load "
        f"{os.getloadavg()[0]:.1f}, {given.cameras} cameras, {given.side}, {given.fps} fps, "
        f"{given.seconds:.0f} s{' as files' * given.file}, {given.ocr} OCR replica(s); "
        f"all started in {start_s:.1f} s\n"
    )
    print_cameras(folder, names, frames, found, {n: (first[n], *last[n]) for n in last}, wall_s)
    print_processes(watched, wall_s)
    print_costs(watched, traffic, found)


def print_cameras(
    folder: Path,
    names: list[str],
    frames: int,
    found: dict[str, dict[str, int]],
    times: dict[str, tuple[float, float, int]],
    wall_s: float,
) -> None:
    """Prints what each camera got."""
    print("| camera | frames in the clip | in | written | lost | fps | readings/s "
          "| overlay age p50 / p95 ms | skipped by visualize |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    all_ages: list[int] = []
    for name in names:
        count = found[name]
        frames_in, written = count.get("frames_in", 0), count.get("frames_written", 0)
        began, ended, _ = times.get(name, (0.0, 0.0, 0))
        fps = (written - 1) / (ended - began) if ended > began else 0.0
        # a live recording is in parts, numbered
        files = sorted([*folder.glob(f"{name}.readings.jsonl"), *folder.glob(f"{name}-*.jsonl")])
        said = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        ages = [line["overlay_age_ms"] for line in said if line["overlay_age_ms"] is not None]
        all_ages += ages
        print(
            f"| {name} | {frames} | {frames_in} | {written} | {frames_in - written} | {fps:.2f} "
            f"| {count.get('readings', 0) / wall_s:.2f} | {_percentiles(ages)} "
            f"| {count.get('skipped_by_visualize', 0)} |"
        )
    keys = ("frames_in", "frames_written", "readings", "skipped_by_visualize")
    frames_in, written, readings, skipped = (
        sum(count.get(key, 0) for count in found.values()) for key in keys
    )
    print(
        f"| all | {frames * len(names)} | {frames_in} | {written} | {frames_in - written} | "
        f"| {readings / wall_s:.2f} | {_percentiles(all_ages)} | {skipped} |\n"
    )


def print_processes(watched: dict[str, Processes], wall_s: float) -> None:
    """Prints what each kind of process cost."""
    print("| process | how many | CPU %, all of them | CPU s to start, each | RSS MiB, each "
          "| PSS MiB, each | PSS MiB, all |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    total_cpu = total_pss = 0.0
    for kind, processes in watched.items():
        many = max(1, len(processes.rss))
        rss, pss = sum(processes.rss.values()) / 1024, sum(processes.pss.values()) / 1024
        total_cpu, total_pss = total_cpu + processes.cpu_s(), total_pss + pss
        print(f"| {kind} | {many} | {100 * processes.cpu_s() / wall_s:.0f} | "
              f"{processes.starting_cpu_s() / max(1, len(processes.began)):.2f} | "
              f"{rss / many:.0f} | {pss / many:.0f} | {pss:.0f} |")  # fmt: skip
    print(f"| all | | {100 * total_cpu / wall_s:.0f} | | | | {total_pss:.0f} |")


def print_costs(
    watched: dict[str, Processes], traffic: Traffic, found: dict[str, dict[str, int]]
) -> None:
    """Prints what a frame cost: CPU by kind of process, bytes through Redis."""
    frames, written, readings = (
        sum(count.get(key, 0) for count in found.values())
        for key in ("frames_in", "frames_written", "readings")
    )
    if not written:
        return
    cost = {kind: 1000 * processes.cpu_s() for kind, processes in watched.items()}
    ocr = sum(ms for kind, ms in cost.items() if kind.startswith("ocr"))
    # frames that visualize has skipped cost it and the writer nothing
    each_ms = {
        kind: cost[kind] / (written if kind in ("visualize", "writer") else frames)
        for kind in ("capture", "visualize", "track", "writer", "redis")
    }
    print("\n| CPU ms a frame: " + " | ".join(each_ms) + " | all but OCR | OCR: CPU ms a reading "
          "| Redis: kB in a frame | kB out a frame | used_memory_peak MiB |")  # fmt: skip
    print("|" + "---|" * (len(each_ms) + 5))
    each = " | ".join(f"{ms:.2f}" for ms in each_ms.values())
    path = sum(each_ms.values())
    print(f"| {each} | {path:.2f} | {f'{ocr / readings:.1f}' if readings else '–'} "
          f"| {traffic.received / frames / 1000:.1f} | {traffic.sent / frames / 1000:.1f} "
          f"| {traffic.peak / 2**20:.1f} |")  # fmt: skip


def _percentiles(ages: list[int]) -> str:
    if not ages:
        return "–"
    return " / ".join(f"{np.percentile(ages, q):.0f}" for q in (50, 95))


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description="Many live cameras at once.")
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--fps", type=int, default=15)
    parser.add_argument("--side", default="360p", help="height of the picture: 360p, 720p")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--ocr", type=int, default=1, help="replicas; they serve all cameras")
    parser.add_argument(
        "--file", action="store_true", help="as fast as can be, nothing skipped: OCR reads it all"
    )
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.NAME=VALUE")
    with tempfile.TemporaryDirectory(prefix="platestream-") as folder:
        run(parser.parse_args(), Path(folder))


if __name__ == "__main__":
    main()
