"""``python -m benchmarks.overlay``: where plates are drawn, against where they are.

On the built-in clip, whose plates' true corners are known, the mean intersection over union of a
plate's drawn box with its true one: as its reading has it, and moved on to the frame. First for
readings of every age, offline; then in a run of the services at the clip's own pace, with the ages
that come of it.
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
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.fusion import keep, kept, read
from platestream import messages, streams
from platestream.demo import built_in_clip
from platestream.embedded_redis import EmbeddedRedis
from platestream.messages import Frame, Pixels, Plate, Reading, Tracks
from platestream.plate_messages import to_observation, to_track_state
from platestream.vision.geometry import bounding_box, box_iou
from platestream.vision.tracking import Tracker
from services.visualize.readings import LatestReading

Truth = Mapping[str, npt.NDArray[np.float32]]  # a frame's plates by their text: 4x2 pixels

_SAME = 0.3  # least intersection over union of a plate and what was read of it
_CAMERA = "overlay"


@dataclass
class Overlaps:
    """Intersections over union of one way of drawing with another's on the same plates."""

    still: list[float] = field(default_factory=list)
    moved: list[float] = field(default_factory=list)

    def add(self, reading: Sequence[Plate], drawn: Sequence[Plate], then: Truth, now: Truth) -> int:
        """Compares a reading's plates, as they were and as they are drawn, with the truth.

        Args:
            then, now: The truth of the reading's frame, and of the frame that it is drawn on.

        Returns:
            How many plates could be compared.
        """
        known = _owners(reading, then)
        there = _owners_nearest(drawn, now)
        texts = [text for text in known if text in there and text in now]
        for text in texts:
            self.still.append(_iou(known[text], now[text]))
            self.moved.append(_iou(there[text], now[text]))
        return len(texts)


def truth_of(raw: Sequence[Mapping[str, Sequence[float]]]) -> list[Truth]:
    """The clip's corners, frame by frame; the first is frame 1's."""
    return [
        {text: np.array(quad, np.float32).reshape(4, 2) for text, quad in seen.items()}
        for seen in raw
    ]


def by_age(
    readings: Sequence[Reading], truth: Sequence[Truth], every: int, ages: Sequence[int]
) -> dict[int, Overlaps]:
    """Draws every so-manieth reading on the frames that come later by so many frames."""
    tracker, latest = Tracker(), LatestReading(10_000)
    found: dict[int, Overlaps] = defaultdict(Overlaps)
    for reading in readings[::every]:
        observations = [to_observation(plate, reading.alphabet) for plate in reading.plates]
        tracker.update(reading.frame_id, reading.captured_at_ms, observations)
        latest.add(reading)
        latest.add_tracks(
            Tracks(
                frame_id=reading.frame_id,
                captured_at_ms=reading.captured_at_ms,
                tracks=tuple(map(to_track_state, tracker.tracks)),
            )
        )
        for age in ages:
            frame_id = reading.frame_id + age
            if frame_id > len(readings):
                continue
            drawn = latest.for_frame(_frame(frame_id, readings[frame_id - 1].captured_at_ms))
            assert drawn is not None
            now = truth[frame_id - 1]
            found[age].add(reading.plates, drawn[0].plates, truth[reading.frame_id - 1], now)
    return found


def in_a_run(
    source: Path, truth: Sequence[Truth], *extra: str
) -> tuple[dict[int, Overlaps], Overlaps]:
    """Runs the services; compares what the lines say was drawn, by age in ms, and all of it."""
    found: dict[int, Overlaps] = defaultdict(Overlaps)
    total = Overlaps()
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis() as server:
        lines = Path(folder) / "lines.jsonl"
        command = [sys.executable, "-c", "from platestream.cli import main; main()"]
        command += ["run", str(source), "--output", f"{folder}/o.mp4", "--readings", str(lines)]
        command += ["--redis", server.url, "--camera", _CAMERA, "--json", *extra]
        subprocess.run(command, capture_output=True, text=True, check=True)
        entries = streams.Follower(streams.connect(server.url), streams.readings_key(_CAMERA))
        read_by_frame = {r.frame_id: r for r in map(messages.parse_reading, _all(entries))}
        for text in lines.read_text("utf-8").splitlines():
            line = json.loads(text)
            if not line["overlay_age_ms"]:
                continue
            reading = read_by_frame[line["reading_frame_id"]]
            drawn = [
                Plate(corners=p["corners"], score=0, text="", confidence=0) for p in line["plates"]
            ]
            then, now = truth[reading.frame_id - 1], truth[line["frame_id"] - 1]
            for overlaps in (found[50 * (line["overlay_age_ms"] // 50)], total):
                overlaps.add(reading.plates, drawn, then, now)
    return found, total


def _all(follower: streams.Follower) -> list[dict[bytes, bytes]]:
    entries: list[dict[bytes, bytes]] = []
    while more := follower.read():
        entries += more
    return entries


def _frame(frame_id: int, captured_at_ms: int) -> Frame:
    return Frame(
        frame_id=frame_id,
        captured_at_ms=captured_at_ms,
        pts_s=0,
        width=1280,
        height=720,
        pixels=Pixels(codec="raw", data=b""),
    )


def _owners(plates: Sequence[Plate], truth: Truth) -> dict[str, Plate]:
    """What was read of every true plate."""
    found = {}
    for text, corners in truth.items():
        box = np.array(bounding_box(corners), np.float32)
        near = max(plates, key=lambda plate: _overlap(plate, box), default=None)
        if near is not None and _overlap(near, box) >= _SAME:
            found[text] = near
    return found


def _owners_nearest(plates: Sequence[Plate], truth: Truth) -> dict[str, Plate]:
    """What is drawn nearest to every true plate, however far off."""
    found = {}
    for text, corners in truth.items():
        middle = corners.mean(0)
        near = min(plates, key=lambda plate: _distance(plate, middle), default=None)
        if near is not None:
            found[text] = near
    return found


def _iou(plate: Plate, corners: npt.NDArray[np.float32]) -> float:
    return _overlap(plate, np.array(bounding_box(corners), np.float32))


def _overlap(plate: Plate, box: npt.NDArray[np.float32]) -> float:
    mine = np.array(bounding_box(np.array(plate.corners, np.float32)), np.float32)
    return float(box_iou(mine, box)[0, 0])


def _distance(plate: Plate, point: npt.NDArray[np.float32]) -> float:
    return float(np.hypot(*(np.array(plate.corners, np.float32).mean(0) - point)))


def _table(head: str, rows: Mapping[str, Overlaps]) -> None:
    print(f"\n| {head} | plates drawn | as read | moved on |\n|---|---|---|---|")
    for name, one in rows.items():
        if one.still:
            print(
                f"| {name} | {len(one.still)} | {np.mean(one.still):.3f} | "
                f"{np.mean(one.moved):.3f} |"
            )


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description="Compares drawn plates with the true ones.")
    parser.add_argument("--every", type=int, nargs="*", default=[1, 3],
                        help="offline: read every n-th frame")  # fmt: skip
    parser.add_argument("--ages", type=int, nargs="*", default=[0, 1, 2, 3, 4, 6, 9],
                        help="offline: in frames")  # fmt: skip
    parser.add_argument("--keep", type=Path, help="a file for the readings; there, they are used")
    parser.add_argument("--no-run", action="store_true", help="offline only")
    given = parser.parse_args()
    clip, facts = built_in_clip()
    truth = truth_of(facts["corners"])
    if given.keep and given.keep.is_file():
        readings = kept(given.keep)
    else:
        readings = list(read(clip, threads=1))
        if given.keep:
            keep(readings, given.keep)
    print(f"{datetime.date.today()}, {os.cpu_count()} cores, {platform.machine()}, {clip.name}")
    for every in given.every:
        found = by_age(readings, truth, every, given.ages)
        rows = {f"{round(1000 * age / facts['fps'])}": found[age] for age in given.ages}
        _table(f"every {every}. frame read: age in ms", rows)
    if not given.no_run:
        ways = {"live": ["--live"], "file, newest frames read":
                ["--set", "ocr.policy=newest", "--set", "capture.wait_for=visualize"],
                "file, every frame read": []}  # fmt: skip
        for way, extra in ways.items():
            ages, total = in_a_run(clip, truth, *extra)
            rows = {f"{age} to {age + 49}": ages[age] for age in sorted(ages)}
            _table(f"{way}: age in ms", rows | {"all older than 0": total})


if __name__ == "__main__":
    main()
