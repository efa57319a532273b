"""``python -m benchmarks.soak --minutes 10``: a live run left alone, watched from outside.

Plays a clip over and over as a camera would, and looks at every process of the run each second:
its memory (RSS), and at the writer's metrics, which know how old a frame is when it is in the
file. Prints what was written and lost, how old overlays and frames were, and for each process the
memory of the second minute (the first is its beginning) and of the last. Redis grows for hours,
until its streams keep as much as they may; its memory is therefore held against that, too.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.pipeline import lengthen
from platestream.demo import built_in_clip
from platestream.settings import StreamSettings
from platestream.video import VideoSource

_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20
_SLOTS_MIB = 1.4  # what Redis has of frames and rendered frames in shared memory
_WRITER = 1  # the order of a run's services on ports that follow each other


def watch(run: subprocess.Popen[str], port: int) -> tuple[dict[str, list[float]], dict[float, int]]:
    """MiB of each process, look by look, and the writer's last histogram, until the run ends."""
    memory: dict[str, list[float]] = defaultdict(list)
    to_file: dict[float, int] = {}
    while run.poll() is None:
        for name, mib in _memory(run.pid).items():
            memory[name].append(mib)
        to_file = _histogram(port + _WRITER) or to_file
        time.sleep(1)
    return memory, to_file


def _memory(pid: int) -> dict[str, float]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    found: dict[str, float] = {}
    for child in [str(pid), *children]:
        try:
            words = Path(f"/proc/{child}/cmdline").read_bytes().decode().replace("\0", " ").split()
            pages = int(Path(f"/proc/{child}/statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError, IndexError):
            continue
        service = next((w.removeprefix("services.") for w in words if w.startswith("services.")),
                       "run" if child == str(pid) else "redis")  # fmt: skip
        found[service] = found.get(service, 0.0) + pages * _PAGE_MIB
    return found


def _histogram(port: int) -> dict[float, int]:
    """Frames by the bucket's upper bound in seconds, from capture to the file's encoder.

    Empty if unanswered.
    """
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=1) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    return {
        float(sample.labels["le"]): int(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "platestream_capture_to_file_seconds_bucket"
    }


def bound(buckets: dict[float, int], share: float) -> float:
    """The least bucket's bound, in seconds, that holds such a share of all."""
    total = max(buckets.values(), default=0)
    return next((le for le, n in sorted(buckets.items()) if total and n >= share * total), 0.0)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass(frozen=True)
class Soak:
    """What came of a live run.

    Attributes:
        said: What ``run --json`` printed; has ``error`` where it failed.
        memory: MiB of each process, a look a second.
        to_file: Frames by the bucket's upper bound in seconds, from capture to the file's encoder.
        seconds: How long the clip played.
    """

    said: dict[str, Any]
    memory: dict[str, list[float]]
    to_file: dict[float, int]
    seconds: float

    def redis_bound(self) -> float:
        """MiB that Redis may come to: as it began, and what its streams may keep, and a quarter.

        A run's pictures are in shared memory, and none of its frames is dead.
        """
        shares = StreamSettings().shares
        kept = (shares.readings + shares.tracks + shares.passages) / 2**20
        return self.memory["redis"][0] + 1.25 * (kept + _SLOTS_MIB)

    def growth(self, process: str, skip_s: int) -> float:
        """MiB a minute by which a process grows, as a straight line through its looks has it.

        Args:
            skip_s: So much at the beginning, while rings fill and networks are compiled, is left
                out; so are the last two looks, at its end.
        """
        looks = self.memory[process][skip_s:-2]
        return 60 * float(np.polyfit(np.arange(len(looks)), looks, 1)[0])


def soak(source: Path, minutes: float, replicas: int = 1) -> Soak:
    """Plays a clip over and over, live, for so long, and watches the run."""
    with VideoSource(str(source)) as video:
        rate, frames = float(video.rate), video.promised
    times = max(1, round(minutes * 60 * rate / frames))
    port = min(_free_port(), 65000)
    with tempfile.TemporaryDirectory() as folder:
        long = Path(folder) / "long.mp4"
        lengthen(source, long, times)
        command = [sys.executable, "-c", "from platestream.cli import main; main()"]
        command += ["run", str(long), "--live", "--output", f"{folder}/out.mp4", "--json"]
        command += ["--ocr-replicas", str(replicas), "--set", f"http.port={port}"]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               text=True)  # fmt: skip
        try:
            memory, to_file = watch(run, port)
        finally:
            run.terminate()
        assert run.stdout is not None
        said: dict[str, Any] = json.loads(run.stdout.read())
    return Soak(said, memory, to_file, times * frames / rate)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description="A live run left alone.")
    parser.add_argument("source", nargs="?", type=Path, default=built_in_clip()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--ocr-replicas", type=int, default=1)
    given = parser.parse_args()
    result = soak(given.source, given.minutes, given.ocr_replicas)
    said, to_file = result.said, result.to_file
    print(f"{datetime.date.today()}, {os.cpu_count()} cores, {platform.machine()}, "
          f"{given.source.name} live, {given.minutes:g} minutes\n")  # fmt: skip
    if "error" in said:
        print(said["error"])
        sys.exit(1)
    age = said["overlay_age_ms"]
    print(f"frames in {said['frames_in']}, written {said['frames_written']}, lost "
          f"{said['frames_lost']}; {said['frames_written'] / result.seconds:.2f} a second "
          f"of the clip; overlay age p50 / p95 {age['p50']} / {age['p95']} ms; capture to encoder "
          f"p50 / p95 at most {1000 * bound(to_file, 0.5):.0f} / "
          f"{1000 * bound(to_file, 0.95):.0f} ms\n")  # fmt: skip
    print("| process | MiB, second minute | MiB, last minute | ratio |\n|---|---|---|---|")
    for name, looks in sorted(result.memory.items()):
        second, last = median(looks[60:120] or looks), median(looks[-62:-2] or looks)
        print(f"| {name} | {second:.1f} | {last:.1f} | {last / second:.3f} |")
    most, may = max(result.memory["redis"]), result.redis_bound()
    side = "within" if most <= may else "ABOVE"
    print(f"\nredis, which grows until its streams are full: {most:.1f} MiB at most, {side} the "
          f"{may:.1f} that it may come to")  # fmt: skip


if __name__ == "__main__":
    main()
