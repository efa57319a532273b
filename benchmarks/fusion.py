"""``python -m benchmarks.fusion``: what following plates over frames is worth.

Reads videos frame by frame, follows the plates, and compares, per track, the surest single
reading, the majority of readings and the fused text with the truth; and counts passages per real
vehicle, of which one is right.

The truth of a video is a JSON file: ``{"plates": [{"text": "A301PO174"}, …]}`` with every plate
that a person can read in it. A track belongs to the plate of which most of its readings are near
(two edits at most); what is near none is a vehicle that a person cannot read either.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack

from platestream.demo import built_in_clip
from platestream.messages import Reading, parse_reading, reading_fields
from platestream.plate_messages import to_message, to_observation
from platestream.plates import edit_distance
from platestream.video import VideoSource
from platestream.vision.reader import PlateReader
from platestream.vision.tracking import Observation, Track, Tracker, TrackSettings

_NEAR = 2


@dataclass
class Followed:
    """A track with every reading that went into it."""

    track: Track
    readings: list[Observation] = field(default_factory=list)
    owner: str | None = None

    @property
    def best(self) -> str:
        """The surest single reading."""
        return max(self.readings, key=lambda o: (o.text.guess != "", o.text.confidence)).text.guess

    @property
    def majority(self) -> str:
        """The most frequent reading; of equals, the surer."""
        votes: Counter[str] = Counter()
        for one in self.readings:
            votes[one.text.guess] += 1 + 1e-3 * one.text.confidence
        return max(votes, key=lambda text: votes[text])


def read(source: Path, threads: int) -> Iterator[Reading]:
    """Reads every frame of a video."""
    reader = PlateReader.load(threads=threads, tile=0, video=True)  # as the service does
    with VideoSource(str(source)) as video:
        for number, frame in enumerate(video.frames(), 1):
            yield Reading(
                frame_id=number,
                captured_at_ms=round(1000 * frame.pts_s),
                pts_s=frame.pts_s,
                alphabet=reader.alphabet,
                plates=tuple(to_message(plate) for plate in reader.read([frame.image])[0]),
            )


def keep(readings: list[Reading], path: Path) -> None:
    """Puts readings into a file, so that other settings can be tried without reading again."""
    path.write_bytes(msgpack.packb([reading_fields(reading) for reading in readings]))


def kept(path: Path) -> list[Reading]:
    """Readings from such a file."""
    entries = msgpack.unpackb(path.read_bytes())
    return [
        parse_reading(
            {k.encode(): v.encode() if isinstance(v, str) else v for k, v in fields.items()}
        )
        for fields in entries
    ]


def follow(readings: list[Reading], every: int, settings: TrackSettings) -> list[Followed]:
    """Follows plates over every so-manieth reading; the tracks that count, by id."""
    tracker = Tracker(settings)
    followed: dict[int, Followed] = {}
    gone: list[Track] = []
    for reading in readings[::every]:
        observations = [to_observation(plate, reading.alphabet) for plate in reading.plates]
        step = tracker.update(
            reading.frame_id, reading.captured_at_ms, observations, pts_s=reading.pts_s
        )
        for one, track in zip(observations, step.seen, strict=True):
            followed.setdefault(track.track_id, Followed(track)).readings.append(one)
        gone += step.gone
    gone += tracker.end()
    return [followed[track.track_id] for track in sorted(gone, key=lambda t: t.track_id)]


def owner(one: Followed, truth: list[str]) -> str | None:
    """The plate that a track is of; None if no person can tell."""
    votes: Counter[str] = Counter()
    for text in (o.text.guess for o in one.readings):
        near = min(truth, key=lambda plate: edit_distance(plate, text))
        if edit_distance(near, text) <= _NEAR:
            votes[near] += 1
    return votes.most_common(1)[0][0] if votes else None


def report(name: str, tracks: list[Followed], truth: list[str]) -> dict[str, Any]:
    """Prints a table of a video's plates, and returns the totals."""
    for one in tracks:
        one.owner = owner(one, truth)
    print(f"\n{name}\n")
    print("| plate | passages | readings right | best single | majority | fused | confidence |")
    print("|---|---|---|---|---|---|---|")
    total: Counter[str] = Counter()
    for plate in truth:
        mine = [one for one in tracks if one.owner == plate]
        readings = [o.text.guess == plate for one in mine for o in one.readings]
        total["plates"] += 1
        total["passages"] += len(mine)
        total["one passage"] += len(mine) == 1
        total["readings"] += len(readings)
        total["readings right"] += sum(readings)
        total["best single right"] += sum(one.best == plate for one in mine)
        total["majority right"] += sum(one.majority == plate for one in mine)
        total["fused right"] += sum(one.track.text.guess == plate for one in mine)
        total["accepted"] += sum(one.track.text.accepted for one in mine)
        total["accepted and right"] += sum(
            one.track.text.accepted and one.track.text.guess == plate for one in mine
        )
        print(
            f"| {plate} | {len(mine)} | {sum(readings)} of {len(readings)} "
            f"| {', '.join(one.best for one in mine)} "
            f"| {', '.join(one.majority for one in mine)} "
            f"| {', '.join(one.track.text.guess for one in mine)} "
            f"| {', '.join(f'{one.track.text.confidence:.3f}' for one in mine)} |"
        )
    strangers = [one for one in tracks if one.owner is None]
    accepted = [one.track.text.text for one in strangers if one.track.text.accepted]
    total["others"] += len(strangers)
    total["others accepted"] += len(accepted)
    print(f"\ntracks of plates that are not in the truth: {len(strangers)}, accepted: {accepted}")
    print(", ".join(f"{key} {value}" for key, value in total.items()))
    return dict(total)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description="Compares single readings with fused ones.")
    parser.add_argument("videos", nargs="*", type=Path, help="default: the built-in clip")
    parser.add_argument(
        "--truth", nargs="*", type=Path, help="a JSON file for each video, in their order"
    )
    parser.add_argument("--every", type=int, default=1, help="follow every n-th frame, as live")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--keep", type=Path, help="folder for the readings; what lies there is not read again"
    )
    given = parser.parse_args()
    clip, clip_truth = built_in_clip()
    videos = given.videos or [clip]
    truths = [json.loads(path.read_text("utf-8")) for path in given.truth or []]
    if not given.videos:
        truths = [clip_truth]
    if len(truths) != len(videos):
        parser.error("give as many --truth files as videos")
    for video, truth in zip(videos, truths, strict=True):
        path = given.keep / f"{video.stem}.readings" if given.keep else None
        if path and path.is_file():
            readings = kept(path)
        else:
            readings = list(read(video, given.threads))
            if path:
                keep(readings, path)
        tracks = follow(readings, given.every, TrackSettings())
        report(
            f"{video.name}, {len(readings[:: given.every])} frames",
            tracks,
            [plate["text"] for plate in truth["plates"]],
        )


if __name__ == "__main__":
    main()
