"""``python -m benchmarks.memory``: what Redis keeps of a live camera as time goes by.

Runs the pipeline over a clip once, as a file, and takes the readings, tracks and passages that it
has left. Then it publishes them again and again, in a private Redis, under the ids and by the
functions of the services, as many as a live camera has in a minute of each, and faster if asked.
Prints what a passage is made of, and what Redis holds after each minute. Pictures are left out: in
shared memory they take Redis a megabyte.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, cast

import msgpack

from platestream import streams
from platestream.demo import built_in_clip
from platestream.embedded_redis import EmbeddedRedis
from platestream.settings import StreamSettings
from platestream.streams import GroupConsumer, TrackerStep

_CAMERA = "camera-1"
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20
_BATCH = 10  # readings that the tracker takes at once

Fields = dict[bytes, bytes]


def record(clip: Path) -> tuple[list[Fields], list[Fields], list[Fields]]:
    """The readings, tracks and passages that a run over a clip leaves, without the ends."""
    with EmbeddedRedis() as server, tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "platestream", "run", str(clip), "--file"]
        command += ["--output", f"{folder}/out.mp4", "--redis", server.url, "--camera", _CAMERA]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        client = streams.connect(server.url)
        keys = (streams.readings_key, streams.tracks_key, streams.passages_key)
        found = [cast("Any", client.xrange(key(_CAMERA))) for key in keys]
    readings, tracks, passages = (
        [fields for _, fields in rows if b"end" not in fields] for rows in found
    )
    return readings, tracks, passages


def say_passages(passages: Sequence[Fields]) -> None:
    """Prints what the mean passage takes, part by part."""
    crops = [len(msgpack.unpackb(fields[b"body"])["crop"]) for fields in passages]
    sizes = [streams.size_of(fields) for fields in passages]
    with EmbeddedRedis() as server:
        client = streams.connect(server.url)
        before = int(cast("Any", client.info("memory"))["used_memory"])
        copies = 0
        for fields in (fields for _ in range(200) for fields in passages):
            client.xadd("passages", cast("Any", fields))
            copies += 1
        held = (int(cast("Any", client.info("memory"))["used_memory"]) - before) / copies
    crop, whole = sum(crops) / len(crops), sum(sizes) / len(sizes)
    print(f"a passage, bytes: crop {crop:.0f}, all else {whole - crop:.0f}, Redis's own "
          f"{held - whole:.0f}; together {held:.0f}\n")  # fmt: skip


def minutes(
    recorded: tuple[Sequence[Fields], Sequence[Fields], Sequence[Fields]],
    count: int,
    readings_a_minute: int,
    passages_a_minute: int,
    faster: float,
) -> Iterator[tuple[int, dict[str, float], float, float]]:
    """Publishes minute after minute.

    Yields:
        The minute, MiB by stream, Redis's ``used_memory`` in MiB, and its RSS in MiB.
    """
    readings, tracks, passages = map(cycle, recorded)
    shares = StreamSettings().shares
    with EmbeddedRedis() as server:
        client = streams.connect(server.url)
        streams.register_camera(client, _CAMERA, mode="live")
        owner = streams.Owner(client, _CAMERA, streams.TRACK)
        tracker = GroupConsumer(
            client, streams.readings_key(_CAMERA), streams.TRACK, streams.TRACK, owner
        )
        tracker.join()
        trimmer = streams.readings_trimmer(client, _CAMERA, shares.readings)
        keeper = streams.TracksTrimmer(
            client, _CAMERA, tracks_bytes=shares.tracks, passages_bytes=shares.passages
        )
        frame_id = passage_id = 0
        began = time.monotonic()
        for minute in range(1, count + 1):
            for number in range(1, readings_a_minute + 1):
                fields = next(readings)
                streams.publish_readings(client, _CAMERA, [_text(fields)], [])
                trimmer.added(1, streams.size_of(fields))
                if number % _BATCH and number < readings_a_minute:
                    continue
                due_s = 60 * (minute - 1 + number / readings_a_minute) / faster
                time.sleep(max(0.0, began + due_s - time.monotonic()))
                taken = tracker.read(_BATCH, None)
                states = [(f"{frame_id + n}-0", next(tracks)) for n in range(1, len(taken) + 1)]
                frame_id += len(taken)
                gone = []
                due = (minute - 1) * passages_a_minute + (
                    number * passages_a_minute // readings_a_minute
                )
                while passage_id < due:
                    passage_id += 1
                    gone.append((f"{passage_id}-0", next(passages)))
                step = TrackerStep(states, gone, {}, (), [one.id for one in taken], {})
                streams.publish_tracks(owner, _CAMERA, step)
                keeper.published(step)
            keys = {
                "readings": streams.readings_key(_CAMERA),
                "tracks": streams.tracks_key(_CAMERA),
                "passages": streams.passages_key(_CAMERA),
            }
            held = {n: (client.memory_usage(k, samples=0) or 0) / 2**20 for n, k in keys.items()}
            used = int(cast("Any", client.info("memory"))["used_memory"]) / 2**20
            pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
            yield minute, held, used, pages * _PAGE_MIB


def _text(fields: Fields) -> dict[str, bytes]:
    return {name.decode(): value for name, value in fields.items()}


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description="What Redis keeps of a camera, minute by minute.")
    parser.add_argument("source", nargs="?", type=Path, default=built_in_clip()[0])
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--faster", type=float, default=1.0, help="than life; memory that Redis "
                        "has no use for goes back to the system in seconds")  # fmt: skip
    parser.add_argument("--readings", type=int, default=1200, help="a minute")
    parser.add_argument("--passages", type=int, default=36, help="a minute")
    given = parser.parse_args()
    recorded = record(given.source)
    print(f"{datetime.date.today()}, {platform.machine()}, {given.source.name}, "
          f"{given.readings} readings and {given.passages} passages a minute\n")  # fmt: skip
    say_passages(recorded[2])
    print("| minute | readings, MiB | tracks | passages | Redis's used_memory | its RSS |\n"
          "|---|---|---|---|---|---|")  # fmt: skip
    rss = {}
    for minute, held, used, rss_mib in minutes(
        recorded, given.minutes, given.readings, given.passages, given.faster
    ):
        rss[minute] = rss_mib
        if minute <= 10 or minute % 10 == 0:
            print(f"| {minute} | {held['readings']:.1f} | {held['tracks']:.2f} | "
                  f"{held['passages']:.2f} | {used:.1f} | {rss_mib:.1f} |", flush=True)  # fmt: skip
    if given.minutes > 2:
        print(f"\nRSS, last minute / second: {rss[given.minutes] / rss[2]:.3f}")


if __name__ == "__main__":
    main()
