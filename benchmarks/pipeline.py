"""``python -m benchmarks.pipeline``: the services against the sequential way, and live mode.

Runs ``platestream run`` on a clip, played several times over, the ways side by side, and prints a
table; absolute figures depend on the machine, ratios less so. Beside them the least that any way
needs: FFmpeg decoding the clip and encoding it with the writer's settings, in one process that
does nothing else. Wall times of the ways include the start of their processes; what that is, the
same way shows on a clip of a few frames.
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
import time
from pathlib import Path
from typing import Any

import av

from platestream.demo import built_in_clip
from platestream.settings import WriterSettings
from platestream.video import KEYFRAME_S

BARE = "bare decode + encode"
_WAYS: dict[str, list[str]] = {
    BARE: [],
    "sequential": ["--sequential"],
    "services, every frame read": [],
    "services, every fourth frame read": ["--read-every", "4"],
    "services, newest frames read": ["--set", "ocr.policy=newest", "--set",
                                     "capture.wait_for=visualize"],
    "services, no OCR": ["--ocr-replicas", "0"],
    "live": ["--live"],
    "live, every look at the whole": ["--live", "--set", "ocr.whole_look_ms=0"],
}  # fmt: skip


def lengthen(source: Path, path: Path, times: int) -> None:
    """Puts a clip after itself, so many times in all, without decoding it."""
    with av.open(str(path), "w") as target:
        out, offset = None, 0
        for _ in range(times):
            with av.open(str(source)) as clip:
                stream = clip.streams.video[0]
                out = out or target.add_stream_from_template(stream)
                for packet in clip.demux(stream):
                    if packet.pts is not None and packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                        packet.stream = out
                        target.mux(packet)
                offset += stream.duration or 0


def bare(source: Path, path: Path) -> dict[str, Any]:
    """Decodes and encodes a clip: no conversion, no drawing, no Redis, frames stay planes."""
    settings, began, frames = WriterSettings(), time.monotonic(), 0
    with av.open(str(source)) as clip, av.open(str(path), "w") as target:
        stream = clip.streams.video[0]
        stream.thread_type = "AUTO"
        out = target.add_stream("libx264", rate=stream.average_rate)
        out.width, out.height = stream.codec_context.width, stream.codec_context.height
        out.pix_fmt = "yuv420p"
        out.codec_context.gop_size = round(KEYFRAME_S * (stream.average_rate or 25))
        out.codec_context.thread_count = settings.threads
        out.options = {"preset": settings.preset, "crf": str(settings.crf), "tune": "zerolatency"}
        for frame in clip.decode(stream):
            frame.pict_type = 0
            target.mux(out.encode(frame))
            frames += 1
        target.mux(out.encode(None))
    wall_s = time.monotonic() - began
    none = {"p50": None, "p95": None}
    return {"frames_in": frames, "frames_written": frames, "frames_lost": 0, "wall_s": wall_s,
            "fps": frames / wall_s, "overlay_age_ms": none, "overlays_from": 0}  # fmt: skip


def measure(source: Path, ways: list[str], rounds: int) -> list[dict[str, Any]]:
    """Runs every way, round after round; the median round by speed counts."""
    results: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for way in ways:
                if way == BARE:
                    results[way].append(bare(source, Path(folder) / "bare.mp4") | {"way": way})
                    continue
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
    parser.add_argument("--times", type=int, default=1, help="play the clip so many times over")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = given.source
        if given.times > 1:
            source = Path(folder) / f"{source.stem}-{given.times}-times.mp4"
            lengthen(given.source, source, given.times)
        rows = measure(source, given.ways, given.rounds)
    slow = next((row for row in rows if row["way"] == "sequential"), None)
    least = next((row for row in rows if row["way"] == BARE), None)
    print(f"{datetime.date.today()}, {os.cpu_count()} cores, {platform.machine()}, "
          f"{given.source.name}, {given.times} times over, median of {given.rounds}\n")  # fmt: skip
    print("| way | frames in | written | lost | wall s | fps | × sequential | × bare "
          "| overlay p50 / p95 ms | frames whose reading was drawn |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        ratio = f"{slow['wall_s'] / row['wall_s']:.2f}" if slow else ""
        of_least = f"{row['fps'] / least['fps']:.2f}" if least else ""
        age = row["overlay_age_ms"]
        print(f"| {row['way']} | {row['frames_in']} | {row['frames_written']} | "
              f"{row['frames_lost']} | {row['wall_s']:.1f} | {row['fps']:.1f} | {ratio} "
              f"| {of_least} | {age['p50']} / {age['p95']} | {row['overlays_from']} |")  # fmt: skip


if __name__ == "__main__":
    main()
