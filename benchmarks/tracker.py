"""``python -m benchmarks.tracker``: what it costs to follow plates, a reading at a time.

Reads a clip once, then publishes its frames and readings over and over, at a live camera's pace,
in a private Redis, as capture and OCR would; a real ``platestream track`` follows. Prints CPU time
a reading of the tracker and of Redis, in ms, and how late tracks are: CPU time depends little on
what else the machine does.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.cameras import Processes, service, wait_for
from benchmarks.fusion import keep, kept, read
from platestream import messages, streams
from platestream.clock import now_ms
from platestream.demo import built_in_clip
from platestream.embedded_redis import EmbeddedRedis
from platestream.messages import Frame, Pixels, Reading
from platestream.streams import GroupConsumer

_CAMERA = "camera-1"
_PATIENCE_S = 10.0


class _Feeder:
    """Capture and OCR of one camera: frames without pictures, and their readings."""

    def __init__(self, client: streams.Client, readings: list[Reading], fps: int) -> None:
        self._client = client
        self._readings = readings
        self._fps = fps
        self._number = 0
        streams.register_camera(client, _CAMERA, mode="live", ended="0", first_frame_id="1")
        key = streams.frames_key(_CAMERA)
        self._ocr = GroupConsumer(client, key, streams.OCR, "ocr-1")
        self._ocr.join()
        self._trimmer = streams.readings_trimmer(client, _CAMERA, 2**23)
        self._tracks = streams.tracks_key(_CAMERA)

    def publish(self) -> float:
        """Publishes the next frame and its reading; returns seconds until its tracks are there."""
        number, readings = self._number, self._readings
        self._number += 1
        facts = {
            "frame_id": number + 1,
            "captured_at_ms": now_ms(),
            "pts_s": number / self._fps,
        }
        pixels = Pixels(codec="jpeg")
        frame = Frame(**facts, width=1280, height=720, mode="live", pixels=pixels)
        streams.publish_captured(
            self._client, _CAMERA, frame.frame_id, messages.frame_fields(frame),
            oldest_kept=streams.entry_id(max(1, number - 20)),
        )  # fmt: skip
        (delivery,) = self._ocr.read(1, 1000)
        reading = readings[number % len(readings)].model_copy(update=facts)
        fields = messages.reading_fields(reading)
        began = time.monotonic()
        streams.publish_readings(self._client, _CAMERA, [fields], [delivery.id])
        self._trimmer.added(1, streams.size_of(fields))
        while streams.last_published(self._client, self._tracks) <= number:
            if time.monotonic() - began > _PATIENCE_S:
                raise SystemExit(f"no tracks of frame {number + 1} within {_PATIENCE_S:g} s")
            time.sleep(0.001)
        return time.monotonic() - began


def measure(readings: list[Reading], fps: int, warm: int, count: int, folder: Path) -> None:
    """Prints what so many readings cost, after some that do not count."""
    with EmbeddedRedis() as server:
        client = streams.connect(server.url)
        feeder = _Feeder(client, readings, fps)
        log = folder / "track.log"
        with service("track", log, "--camera", _CAMERA, "--redis", server.url) as process:
            wait_for(client, [_CAMERA], ("track",))
            tracker = Processes(process.pid)
            late: list[float] = []
            began = time.monotonic()
            for number in range(warm + count):
                if number == warm:
                    tracker.look(begin=True)
                    late.clear()
                time.sleep(max(0.0, began + number / fps - time.monotonic()))
                late.append(feeder.publish())
            tracker.look()
    ms = 1000 * tracker.cpu_s() / count
    print(
        f"| {count} | {ms:.2f} | {100 * ms * fps / 1000:.1f}% "
        f"| {1000 * statistics.median(late):.1f} |"
    )


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description="What it costs to follow plates.")
    parser.add_argument("source", nargs="?", type=Path, default=built_in_clip()[0])
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--readings", type=int, default=450, help="that count")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument(
        "--keep", type=Path, help="folder for the readings; what lies there is not read again"
    )
    given = parser.parse_args()
    path = given.keep / f"{given.source.stem}.readings" if given.keep else None
    if path and path.is_file():
        readings = kept(path)
    else:
        readings = list(read(given.source, 1))
        if path:
            keep(readings, path)
    plates = sum(len(reading.plates) for reading in readings) / len(readings)
    print(f"{datetime.date.today()}, {os.cpu_count()} cores, {platform.machine()}, load "
          f"{os.getloadavg()[0]:.0f}, {given.source.name}, {plates:.2f} plates a frame, "
          f"{given.fps} fps\n")  # fmt: skip
    print("| readings | tracker, CPU ms a reading | of a core | until tracks are there, ms |")
    print("|---|---|---|---|")
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as folder:
            measure(readings, given.fps, 2 * given.fps, given.readings, Path(folder))


if __name__ == "__main__":
    main()
