"""What a tracker must remember over a restart, as fields of a Redis hash, and back.

A reading and a picture never change, so their fields are written once; only a track's own small
record and the tracker's are written again with every step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from operator import attrgetter
from typing import Any

import msgpack
import numpy as np

from platestream import streams
from platestream.errors import MessageError
from platestream.messages import MAX_CANDIDATES, MAX_CHARACTERS, MAX_CROP_BYTES
from platestream.vision.fusion import MOST_READINGS, TextFusion, TextReading
from platestream.vision.motion import Coordinate
from platestream.vision.probabilities import pack, unpack
from platestream.vision.tracking import MOST_TRACKS, Track, Tracker

_TRACKER = "tracker"
_LAYOUT = 1
_MAX_FIELD_BYTES = 2**18
_FIELD_BYTES = 96  # of a field, besides its name and value: the table's, two strings' own
_PLAIN = (
    "track_id", "score", "first_frame_id", "last_frame_id", "first_ms", "last_ms", "last_pts_s",
    "frames_seen", "crop_quality", "crop_frame_id",
)  # fmt: skip
_coordinate = attrgetter(
    "position", "velocity", "position_variance", "covariance", "velocity_variance"
)


@dataclass(slots=True)
class Position:
    """Where a tracker is, besides its tracks.

    Attributes:
        entries: How many entries ``passages`` has had, ends too; they are numbered by it.
        ended_frame_id: The last frame of the last recording whose tracks were ended.
    """

    entries: int = 0
    ended_frame_id: int = 0


class Memory:
    """Knows which fields are written already, so that only what is new is written again.

    More plates in sight than there is room for are remembered all the same, but not all of their
    readings and pictures: those of the plates seen last come first.
    """

    def __init__(self, most_bytes: int, written: Mapping[str, bytes] | None = None) -> None:
        """Args:
        most_bytes: What the hash may take of Redis's memory.
        written: The hash as it is.
        """
        self._most_bytes = most_bytes
        self._written = {name: _weight(name, value) for name, value in (written or {}).items()}

    def changes(self, tracker: Tracker, position: Position) -> tuple[dict[str, bytes], list[str]]:
        """The fields to write, and those to delete; ``wrote`` says that it was done."""
        fields = {
            _TRACKER: _pack(
                {
                    "layout": _LAYOUT,
                    "next_track_id": tracker.next_track_id,
                    "last_frame_id": tracker.last_frame_id,
                    "last_ms": tracker.last_ms,
                    **asdict(position),
                }
            )
        }
        kept = {_TRACKER}
        for track in tracker.tracks:
            fields[f"track:{track.track_id}"] = _pack(_record(track))
            kept.add(f"track:{track.track_id}")
        room = self._most_bytes - sum(_weight(name, value) for name, value in fields.items())
        for name, make in self._parts(tracker):
            weight, value = self._written.get(name), b""
            if weight is None:
                value = make()
                weight = _weight(name, value)
            room -= weight
            if room < 0:
                break
            kept.add(name)
            if name not in self._written:
                fields[name] = value
        return fields, sorted(self._written.keys() - kept)

    def wrote(self, fields: Mapping[str, bytes], deleted: list[str]) -> None:
        """Notes that changes have reached Redis."""
        self._written |= {name: _weight(name, value) for name, value in fields.items()}
        for name in deleted:
            self._written.pop(name, None)

    def _parts(self, tracker: Tracker) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """Fields that do not change, and how each is made: of plates seen last first."""
        for track in sorted(tracker.tracks, key=lambda t: t.last_frame_id, reverse=True):
            if track.crop:
                name = f"crop:{track.track_id}:{track.crop_frame_id}"
                yield name, partial(bytes, track.crop)
            for reading in track.fusion.readings:
                name = f"reading:{track.track_id}:{reading.frame_id}"
                yield name, partial(_pack_reading, reading)


def restore(written: Mapping[str, bytes], tracker: Tracker) -> Position:
    """Brings a new tracker to where the last one was.

    Raises:
        MessageError: The fields are damaged, or of another version.
    """
    if _TRACKER not in written:
        return Position()
    try:
        known = _unpack(written[_TRACKER])
        if known["layout"] != _LAYOUT:
            raise MessageError(f"tracker's memory has layout {known['layout']}, not {_LAYOUT}")
        names = sorted(name for name in written if name.startswith("track:"))
        records = [_unpack(written[name]) for name in names[:MOST_TRACKS]]
        tracker.tracks = sorted(
            (_track(record, written, tracker) for record in records), key=lambda t: t.track_id
        )
        tracker.next_track_id = int(known["next_track_id"])
        tracker.last_frame_id = int(known["last_frame_id"])
        tracker.last_ms = int(known["last_ms"])
        return Position(int(known["entries"]), int(known["ended_frame_id"]))
    except (KeyError, TypeError, ValueError) as error:
        raise MessageError(f"tracker's memory is damaged: {error!r}") from error


def _record(track: Track) -> dict[str, Any]:
    record: dict[str, Any] = {name: getattr(track, name) for name in _PLAIN}
    record["corners"] = [float(v) for v in track.corners.ravel()]
    for name in ("x", "y", "size"):
        record[name] = _coordinate(getattr(track, name))
    return record


def _track(record: dict[str, Any], written: Mapping[str, bytes], tracker: Tracker) -> Track:
    track_id = int(record["track_id"])
    fusion = TextFusion()
    prefix = f"reading:{track_id}:"
    frames = sorted(int(name[len(prefix) :]) for name in written if name.startswith(prefix))
    fusion.add(*(_reading(f, written[f"{prefix}{f}"]) for f in frames[:MOST_READINGS]))
    crop = written.get(f"crop:{track_id}:{int(record['crop_frame_id'])}", b"")
    record.setdefault("last_pts_s", None)  # a tracker of before there was this field
    return Track(
        **{name: record[name] for name in _PLAIN},
        x=Coordinate(*map(float, record["x"])),
        y=Coordinate(*map(float, record["y"])),
        size=Coordinate(*map(float, record["size"])),
        corners=np.array(record["corners"], np.float32).reshape(4, 2),
        fusion=fusion,
        text=fusion.text(tracker.settings.threshold, tracker.settings.formats),
        crop=crop if len(crop) <= MAX_CROP_BYTES else b"",
    )


def _weight(name: str, value: bytes) -> int:
    """What a field takes of Redis's memory, at most."""
    return streams.held_bytes(len(name) + len(value), _FIELD_BYTES)


def _pack_reading(reading: TextReading) -> bytes:
    return _pack(
        {
            "probabilities": pack(reading.probabilities),
            "alphabet": reading.alphabet,
            "candidates": list(reading.candidates[:MAX_CANDIDATES]),
            "width": reading.width,
            "lines": reading.lines,
        }
    )


def _reading(frame_id: int, data: bytes) -> TextReading:
    record = _unpack(data)
    return TextReading(
        frame_id,
        unpack(record["probabilities"]),
        str(record["alphabet"]),
        tuple(str(c)[:MAX_CHARACTERS] for c in record["candidates"][:MAX_CANDIDATES]),
        float(record["width"]),
        int(record["lines"]),
    )


def _pack(record: dict[str, Any]) -> bytes:
    packed: bytes = msgpack.packb(record, use_bin_type=True)
    return packed


def _unpack(data: bytes) -> dict[str, Any]:
    if len(data) > _MAX_FIELD_BYTES:
        raise MessageError(f"a field of {len(data)} bytes in the tracker's memory")
    try:
        record = msgpack.unpackb(data, raw=False, max_array_len=64, max_map_len=64)
    except (ValueError, msgpack.UnpackException) as error:
        raise MessageError(f"a field of the tracker's memory is not msgpack: {error}") from error
    if not isinstance(record, dict):
        raise MessageError("a field of the tracker's memory is not a map")
    return record
