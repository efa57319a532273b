"""``python -m benchmarks.pipeline``: the services against the sequential way, and live mode.

Runs ``platestream run`` on a clip, the ways side by side in one session, and prints a table;
absolute figures depend on the machine, ratios less so.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from platestream.demo import built_in_clip

_WAYS = {
    "sequential": ["--sequential", "--set", "ocr.threads=1"],
    "services, every frame read": [],
    "services, newest frames read": ["--set", "ocr.policy=newest", "--set",
                                     "capture.wait_for=visualize"],
    "services, no OCR": ["--ocr-replicas", "0"],
    "live": ["--live"],
}  # fmt: skip


def measure(source: Path, ways: list[str], rounds: int) -> list[dict[str, Any]]:
    """Runs every way, round after round; the median round by speed counts."""
    results: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for way in ways:
                output = Path(folder) / f"{number}-{ways.index(way)}.mp4"
                command = [sys.executable, "-c", "from platestream.cli import main; main()"]
                command += ["run", str(source), "--output", str(output), "--json", *_WAYS[way]]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                result = json.loads(done.stdout)
                lines = output.with_name(f"{output.stem}.readings.jsonl").read_text().splitlines()
                read = {json.loads(line)["reading_frame_id"] for line in lines} - {None}
                results[way].append(result | {"way": way, "overlays_from": len(read)})
    return [sorted(r, key=lambda x: x["wall_s"])[len(r) // 2] for r in results.values()]


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description="Compares ways to run a clip.")
    parser.add_argument("source", nargs="?", type=Path, default=built_in_clip()[0])
    parser.add_argument("--ways", nargs="*", choices=list(_WAYS), default=list(_WAYS))
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    rows = measure(given.source, given.ways, given.rounds)
    slow = next((row for row in rows if row["way"] == "sequential"), None)
    print(f"{datetime.date.today()}, {os.cpu_count()} cores, {platform.machine()}, "
          f"{given.source.name}, median of {given.rounds}\n")  # fmt: skip
    print("| way | frames in | written | lost | wall s | fps | × sequential | overlay p50 / p95 ms "
          "| frames whose reading was drawn |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        ratio = f"{slow['wall_s'] / row['wall_s']:.2f}" if slow else ""
        age = row["overlay_age_ms"]
        print(f"| {row['way']} | {row['frames_in']} | {row['frames_written']} | "
              f"{row['frames_lost']} | {row['wall_s']:.1f} | {row['fps']:.1f} | {ratio} | "
              f"{age['p50']} / {age['p95']} | {row['overlays_from']} |")  # fmt: skip


if __name__ == "__main__":
    main()
