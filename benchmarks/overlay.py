"""``python -m benchmarks.overlay``: where plates are drawn, against where they are.

On the built-in clip, whose plates' true corners are known, the mean intersection over union of a
plate's drawn box with its true one: as its reading has it, and moved on to the frame. First
offline, for readings of every age, and for frames that are captured with delays; then in runs of
the services, with the ages that come of it. By the clock and by stream time are what motion would
be measured by if all tracks were there in time.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.fusion import keep, kept, read
from platestream import messages, streams
from platestream.demo import built_in_clip
from platestream.embedded_redis import EmbeddedRedis
from platestream.latest_reading import LatestReading
from platestream.messages import Frame, Pixels, Plate, Reading, Tracks
from platestream.plate_messages import to_observation, to_track_state
from platestream.vision.geometry import bounding_box, box_iou
from platestream.vision.tracking import Tracker

Truth = Mapping[str, npt.NDArray[np.float32]]  # a frame's plates by their text: 4x2 pixels

_SAME = 0.3  # least intersection over union of a plate and what was read of it
_CAMERA = "overlay"
_DELAYED_AGE = 4  # frames


@dataclass
class Overlaps:
    """Intersections over union of one way of drawing with another's on the same plates."""

    still: list[float] = field(default_factory=list)
    moved: list[float] = field(default_factory=list)
    by_clock: list[float] = field(default_factory=list)
    by_stream: list[float] = field(default_factory=list)

    def add(
        self,
        reading: Sequence[Plate],
        drawn: Sequence[Plate],
        then: Truth,
        now: Truth,
        by_clock: Sequence[Plate] | None = None,
        by_stream: Sequence[Plate] | None = None,
    ) -> int:
        """Compares a reading's plates, as they were and as they are drawn, with the truth.

        Args:
            then, now: The truth of the reading's frame, and of the frame that it is drawn on.
            by_clock, by_stream: The plates moved on by one time or the other.

        Returns:
            How many plates could be compared.
        """
        known = _owners(reading, then)
        there = _owners_nearest(drawn, now)
        texts = [text for text in known if text in there and text in now]
        for text in texts:
            self.still.append(_iou(known[text], now[text]))
            self.moved.append(_iou(there[text], now[text]))
        for way, plates in ((self.by_clock, by_clock), (self.by_stream, by_stream)):
            if plates is None:
                continue
            near = _owners_nearest(plates, now)
            way += [_iou(near[text], now[text]) if text in near else 0.0 for text in texts]
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
        tracker.update(reading.frame_id, reading.captured_at_ms, observations, pts_s=reading.pts_s)
        latest.add(reading)
        latest.add_tracks(
            Tracks(
                frame_id=reading.frame_id,
                captured_at_ms=reading.captured_at_ms,
                pts_s=reading.pts_s,
                tracks=tuple(map(to_track_state, tracker.tracks)),
            )
        )
        for age in ages:
            frame_id = reading.frame_id + age
            if frame_id > len(readings):
                continue
            of = readings[frame_id - 1]
            drawn = latest.for_frame(_frame(frame_id, of.captured_at_ms, of.pts_s or 0.0))
            assert drawn is not None
            now = truth[frame_id - 1]
            found[age].add(reading.plates, drawn[0].plates, truth[reading.frame_id - 1], now)
    return found


def delayed(readings: Sequence[Reading], mean_ms: float, seed: int = 0) -> list[Reading]:
    """Readings of frames that a network or a busy machine has held up by chance, in their order.

    Args:
        mean_ms: Of the delays, which are exponentially distributed.
    """
    delays = np.random.default_rng(seed).exponential(mean_ms, len(readings))
    arrived = np.maximum.accumulate([r.captured_at_ms for r in readings] + delays)
    return [
        reading.model_copy(update={"captured_at_ms": round(at)})
        for reading, at in zip(readings, arrived.tolist(), strict=True)
    ]


def by_delay(
    readings: Sequence[Reading], truth: Sequence[Truth], means_ms: Sequence[float], age: int
) -> dict[str, Overlaps]:
    """Draws every reading ``age`` frames later, its frames captured with delays."""
    found = {}
    for mean_ms in means_ms:
        late = delayed(readings, mean_ms)
        unstamped = [reading.model_copy(update={"pts_s": None}) for reading in late]
        overlaps = by_age(late, truth, 1, [age])[age]
        overlaps.by_stream = overlaps.moved
        overlaps.by_clock = by_age(unstamped, truth, 1, [age])[age].moved
        found[f"{mean_ms:g}"] = overlaps
    return found


def in_a_run(
    source: Path, truth: Sequence[Truth], *extra: str, load: int = 0
) -> tuple[dict[int, Overlaps], Overlaps]:
    """Runs the services; compares what the lines say was drawn, by age in ms, and all of it.

    Args:
        load: How many processes do nothing but compute meanwhile.
    """
    found: dict[int, Overlaps] = defaultdict(Overlaps)
    total = Overlaps()
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis() as server:
        lines = Path(folder) / "lines.jsonl"
        command = [sys.executable, "-c", "from platestream.cli import main; main()"]
        command += ["run", str(source), "--output", f"{folder}/o.mp4", "--readings", str(lines)]
        command += ["--redis", server.url, "--camera", _CAMERA, "--json", *extra]
        with _busy(load):
            subprocess.run(command, capture_output=True, text=True, check=True)
        entries = streams.Follower(streams.connect(server.url), streams.readings_key(_CAMERA))
        read_by_frame = {r.frame_id: r for r in map(messages.parse_reading, _all(entries))}
        by_clock = _Replay(r.model_copy(update={"pts_s": None}) for r in read_by_frame.values())
        by_stream = _Replay(read_by_frame.values())
        for text in lines.read_text("utf-8").splitlines():
            line = json.loads(text)
            if not line["overlay_age_ms"]:
                continue
            reading = read_by_frame[line["reading_frame_id"]]
            drawn = [
                Plate(corners=p["corners"], score=0, text="", confidence=0) for p in line["plates"]
            ]
            then, now = truth[reading.frame_id - 1], truth[line["frame_id"] - 1]
            ways = []
            if own := read_by_frame.get(line["frame_id"]):  # it says when the frame was captured
                frame = _frame(own.frame_id, own.captured_at_ms, line["pts_s"])
                ways = [way.drawn(reading.frame_id, frame) for way in (by_clock, by_stream)]
            for overlaps in (found[50 * (line["overlay_age_ms"] // 50)], total):
                overlaps.add(reading.plates, drawn, then, now, *ways)
    return found, total


class _Replay:
    """What is drawn of readings when all tracks are there in time."""

    def __init__(self, readings: Iterable[Reading]) -> None:
        tracker = Tracker()
        self._known: dict[int, tuple[Reading, Tracks]] = {}
        for reading in sorted(readings, key=lambda one: one.frame_id):
            observations = [to_observation(plate, reading.alphabet) for plate in reading.plates]
            tracker.update(
                reading.frame_id, reading.captured_at_ms, observations, pts_s=reading.pts_s
            )
            tracks = Tracks(
                frame_id=reading.frame_id,
                captured_at_ms=reading.captured_at_ms,
                pts_s=reading.pts_s,
                tracks=tuple(map(to_track_state, tracker.tracks)),
            )
            self._known[reading.frame_id] = (reading, tracks)

    def drawn(self, reading_frame_id: int, frame: Frame) -> tuple[Plate, ...]:
        """A reading's plates as they are drawn on a frame."""
        reading, tracks = self._known[reading_frame_id]
        latest = LatestReading(10_000, 1)
        latest.add(reading)
        latest.add_tracks(tracks)
        drawn = latest.for_frame(frame)
        return drawn[0].plates if drawn is not None else ()


@contextlib.contextmanager
def _busy(processes: int) -> Iterator[None]:
    """Keeps so many processes computing."""
    started = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)
    ]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def _all(follower: streams.Follower) -> list[dict[bytes, bytes]]:
    entries: list[dict[bytes, bytes]] = []
    while more := follower.read():
        entries += more
    return entries


def _frame(frame_id: int, captured_at_ms: int, pts_s: float) -> Frame:
    return Frame(
        frame_id=frame_id,
        captured_at_ms=captured_at_ms,
        pts_s=pts_s,
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
    more = ["by the clock", "by stream time"] if any(one.by_clock for one in rows.values()) else []
    names = [head, "plates drawn", "as read", "moved on", *more]
    print(f"\n| {' | '.join(names)} |\n|{len(names) * '---|'}")
    for name, one in rows.items():
        if one.still:
            ways = [one.still, one.moved, one.by_clock, one.by_stream]
            means = [f"{np.mean(way):.3f}" for way in ways if way]
            print(f"| {name} | {len(one.still)} | {' | '.join(means)} |")


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description="Compares drawn plates with the true ones.")
    parser.add_argument("--every", type=int, nargs="*", default=[1, 3],
                        help="offline: read every n-th frame")  # fmt: skip
    parser.add_argument("--ages", type=int, nargs="*", default=[0, 1, 2, 3, 4, 6, 9],
                        help="offline: in frames")  # fmt: skip
    parser.add_argument("--delays", type=float, nargs="*", default=[0, 5, 10, 20, 40, 80],
                        help="offline: means of the delays of frames, in ms")  # fmt: skip
    parser.add_argument("--keep", type=Path, help="a file for the readings; there, they are used")
    parser.add_argument("--no-run", action="store_true", help="offline only")
    parser.add_argument("--live-only", action="store_true", help="of the runs, the live one only")
    parser.add_argument("--load", type=int, default=0,
                        help="so many processes that compute beside the runs")  # fmt: skip
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
    rows = by_delay(readings, truth, given.delays, _DELAYED_AGE)
    _table(f"frames {_DELAYED_AGE} later: mean delay in ms", rows)
    if not given.no_run:
        ways = {"live": ["--live"], "file, newest frames read":
                ["--set", "ocr.policy=newest", "--set", "capture.wait_for=visualize"],
                "file, every frame read": []}  # fmt: skip
        for way, extra in list(ways.items())[: 1 if given.live_only else None]:
            ages, total = in_a_run(clip, truth, *extra, load=given.load)
            rows = {f"{age} to {age + 49}": ages[age] for age in sorted(ages)}
            _table(f"{way}: age in ms", rows | {"all older than 0": total})


if __name__ == "__main__":
    main()
