"""A run: what to do, how far it is, what came of it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from platestream.masking import mask
from platestream.messages import Passage
from platestream.outputs import (
    OutputFiles,
    OutputNames,
    check_apart,
    check_output,
    check_video_name,
    make_default_folder,
    readings_path,
)
from platestream.video import is_live

MOST_PLATES = 10_000


@dataclass(frozen=True)
class Job:
    """What to run.

    Attributes:
        output, readings: The video and its JSON lines.
        segments: Whether a live source is cut into segments if the settings leave it open.
        live: Pace a file as a camera would, and never wait.
        redis_url: A Redis to use; None starts a private one.
    """

    source: str
    output: Path
    readings: Path
    camera: str
    replicas: int = 1
    live: bool | None = None
    redis_url: str | None = None
    force: bool = False
    segments: bool = False
    assignments: tuple[str, ...] = ()

    def check_outputs(self) -> None:
        """Refuses outputs that cannot or must not be written.

        Raises:
            OutputError: One is no place for a file, is there already, or is another's.
        """
        check_video_name(str(self.output))
        check_apart(self.source, self.output, self.readings)
        for path in (self.output, self.readings):
            check_output(path, force=self.force)

    @property
    def names(self) -> OutputNames:
        """The names of the files, where there is more than one."""
        beside = self.readings == readings_path(self.output)
        return OutputNames(str(self.output), "" if beside else str(self.readings), self.camera)


@dataclass
class Progress:
    """How far a run is, for people to watch."""

    frames_in: int = 0
    frames_written: int = 0
    readings: int = 0
    plates: int = 0
    ocr_behind: int = 0
    promised: int = 0
    fps: float = 0.0


class PlateRead(NamedTuple):
    """A passage whose text was accepted, as a run's result has it."""

    first_frame_id: int
    passage_id: int
    last_frame_id: int
    text: str
    confidence: float


class PlatesRead:
    """The newest plates that a run has read, and how many there were: it may go on for weeks.

    A passage that comes again (Redis came back without its last moments) takes its own place.

    Attributes:
        left_out: How many plates were read before those that are kept.
    """

    def __init__(self, passages: Iterable[Passage] = ()) -> None:
        self._plates: dict[tuple[int, int], PlateRead] = {}
        self.left_out = 0
        for passage in passages:
            self.take(passage)

    def __len__(self) -> int:
        return self.left_out + len(self._plates)

    def take(self, passage: Passage) -> None:
        """Keeps what the result says of a passage, if its text was accepted."""
        key = passage.first_frame_id, passage.passage_id
        if passage.accepted:
            self._plates[key] = PlateRead(
                *key, passage.last_frame_id, passage.text, passage.confidence
            )
            if len(self._plates) > MOST_PLATES:
                del self._plates[next(iter(self._plates))]  # the one that came first
                self.left_out += 1
        else:
            self._plates.pop(key, None)

    def in_order(self) -> list[PlateRead]:
        """Those that are kept, in the order in which they appeared."""
        return sorted(self._plates.values())


class Ages:
    """Overlay ages, each counted and none kept: a run of a week has 18 million frames."""

    def __init__(self) -> None:
        self._frames: Counter[int] = Counter()

    def add(self, age_ms: int, frames: int = 1) -> None:
        """Counts frames whose overlay has that age."""
        self._frames[age_ms] += frames

    def percentile(self, q: float) -> int | None:
        """The age, ms, that q percent of all are not above, as ``np.percentile``; None of none."""
        place = (self._frames.total() - 1) * q / 100
        if place < 0:
            return None
        below, above = (self._at(round(n)) for n in (math.floor(place), math.ceil(place)))
        return round(below + (above - below) * (place - math.floor(place)))

    def _at(self, place: int) -> int:
        """The age of the frame in that place, in order of age."""
        passed = 0
        for age_ms in sorted(self._frames):
            passed += self._frames[age_ms]
            if passed > place:
                return age_ms
        raise IndexError(place)


@dataclass
class Result:
    """What a run did.

    Attributes:
        plates: The passages whose text was accepted, in the order in which the plates appeared;
            of very many the newest ones.
        plates_left_out: How many there were before those.
    """

    frames_in: int
    frames_written: int
    wall_s: float
    ages: Ages
    plates: list[PlateRead]
    warnings: list[str]
    files: list[OutputFiles]
    plates_left_out: int = 0

    def as_dict(self) -> dict[str, object]:
        """As ``run --json`` prints it."""
        return {
            "frames_in": self.frames_in,
            "frames_written": self.frames_written,
            "frames_lost": self.frames_in - self.frames_written,
            "fps": round(self.frames_written / self.wall_s, 2) if self.wall_s else 0.0,
            "wall_s": round(self.wall_s, 3),
            "overlay_age_ms": {
                "p50": self.ages.percentile(50),
                "p95": self.ages.percentile(95),
            },
            "plates": [
                {
                    "text": p.text,
                    "confidence": round(p.confidence, 4),
                    "first_frame": p.first_frame_id,
                    "last_frame": p.last_frame_id,
                }
                for p in self.plates
            ],
            "plates_left_out": self.plates_left_out,
            "warnings": self.warnings,
        }


def camera_name(source: str) -> str:
    """A camera's name made from its source: ``Gate 1.mp4`` is ``gate-1``."""
    last = mask(source).rstrip("/").rsplit("/", 1)[-1]
    if is_live(source):
        last = last.rsplit("@", 1)[-1]  # the host of a URL without a path, and not its user
    stem = last.rsplit(".", 1)[0]
    return re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._")[:64] or "camera-1"


def default_job(source: str, **given: object) -> Job:
    """A job whose camera and outputs, where not given, are named after the source.

    Raises:
        OutputError: No output is given, and the folder ``out`` cannot be made.
    """
    camera = str(given.pop("camera", None) or camera_name(source))
    output = given.pop("output", None)
    if output is None:
        video = Path("out") / f"{camera}.mp4"
        make_default_folder(video.parent)
        given["segments"] = is_live(source)  # nobody asked for one file, and it may go on for ever
    else:
        video = Path(str(output))
    readings = given.pop("readings", None)
    lines = Path(str(readings)) if readings else readings_path(video)
    return Job(source, video, lines, camera, **given)  # type: ignore[arg-type]
