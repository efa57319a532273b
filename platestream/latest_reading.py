"""The latest reading of a camera: which one a frame gets, and where its plates are by then."""

from __future__ import annotations

from bisect import bisect_right, insort
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from platestream.messages import MAX_SIDE, Corners, Frame, Plate, Reading, Tracks, TrackState
from platestream.vision.geometry import Box, bounding_box, box_iou
from platestream.vision.motion import approach, elapsed_s, moved

KEPT = 512  # some 20 s at 25 fps: far more than any reading that is still drawn
_SAME_PLACE = 0.3  # least intersection over union of a plate and its track

T = TypeVar("T", Reading, Tracks)


class _Recent(Generic[T]):
    """Recent messages by frame, in whatever order they come."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._ids: list[int] = []
        self._messages: dict[int, T] = {}

    def add(self, message: T) -> None:
        """Takes one in; a second one of the same frame replaces the first."""
        if message.frame_id not in self._messages:
            insort(self._ids, message.frame_id)
        self._messages[message.frame_id] = message
        while len(self._ids) > self._kept:
            del self._messages[self._ids.pop(0)]

    def of(self, frame_id: int) -> T | None:
        """The one of this frame."""
        return self._messages.get(frame_id)

    def latest(self, frame_id: int) -> T | None:
        """The newest of this frame or an earlier one."""
        at = bisect_right(self._ids, frame_id) - 1
        return self._messages[self._ids[at]] if at >= 0 else None


class LatestReading:
    """Keeps recent readings, and tracks to name and move by, in whatever order they come."""

    def __init__(self, stale_after_ms: int, kept: int = KEPT) -> None:
        """Args: kept: How many readings, and how many frames' tracks."""
        self._stale_after_ms = stale_after_ms
        self._readings: _Recent[Reading] = _Recent(kept)
        self._tracks: _Recent[Tracks] = _Recent(kept)

    def add(self, reading: Reading) -> None:
        """Takes a reading in; a second one of the same frame replaces the first."""
        self._readings.add(reading)

    def add_tracks(self, tracks: Tracks) -> None:
        """Takes in how tracks stand after a frame."""
        self._tracks.add(tracks)

    def for_frame(self, frame: Frame) -> tuple[Reading, int] | None:
        """The newest reading of this frame or an earlier one, and its age in ms.

        The age is by the frames' times in the video (``elapsed_s``): the clock may be set.

        Its plates have the fused text of the tracks that they belong to, as far as these are
        known, of the reading's own frame or one before it; and they are where these tracks will
        have taken them by the frame. Plates that have left the picture by then are left out.

        Returns:
            None if there is none, or it is too old to be drawn.
        """
        return self._drawn(self._readings.latest(frame.frame_id), frame)

    def of_frame(self, frame: Frame) -> tuple[Reading, int] | None:
        """The frame's own reading, as ``for_frame``; None if there is none."""
        return self._drawn(self._readings.of(frame.frame_id), frame)

    def has(self, frame_id: int) -> bool:
        """Whether a frame's own reading has come."""
        return self._readings.of(frame_id) is not None

    def _drawn(self, reading: Reading | None, frame: Frame) -> tuple[Reading, int] | None:
        if reading is None:
            return None
        age_ms = round(1000 * _between_s(reading, frame))  # as a viewer sees it
        if (
            abs(age_ms) > self._stale_after_ms
        ):  # below: the clock was set back, nobody knows by what
            return None
        tracks = self._tracks.latest(reading.frame_id)
        if tracks is not None:
            after_s = _between_s(tracks, reading)
            if 0 <= after_s <= self._stale_after_ms / 1000:
                plates = with_fused_texts(reading.plates, tracks.tracks, after_s)
                now = tuple(_later(track, after_s) for track in tracks.tracks)
                plates = with_motion(plates, now, max(0.0, _between_s(reading, frame)))
                plates = tuple(p for p in plates if _is_seen(p, frame.width, frame.height))
                reading = reading.model_copy(update={"plates": plates})
        return reading, max(0, age_ms)


def with_fused_texts(
    plates: tuple[Plate, ...], tracks: tuple[TrackState, ...], seconds: float
) -> tuple[Plate, ...]:
    """Gives plates the text of the track that is where they are; each track to one plate.

    Args:
        seconds: How much later than the tracks the plates were seen.
    """
    if not plates or not tracks:
        return plates
    seen = np.array([_box(plate.corners) for plate in plates], np.float32)
    expected = [bounding_box(_moved(track.corners, track, seconds)) for track in tracks]
    overlaps = box_iou(seen, np.array(expected, np.float32))
    fused = list(plates)
    while overlaps.max() >= _SAME_PLACE:
        number, track_number = np.unravel_index(overlaps.argmax(), overlaps.shape)
        track = tracks[int(track_number)]
        update = {
            "text": track.text,
            "confidence": track.confidence,
            "format": track.format,
            "accepted": track.accepted,
            "track": track.track_id,
        }
        fused[int(number)] = plates[int(number)].model_copy(update=update)
        overlaps[number, :] = overlaps[:, track_number] = 0
    return tuple(fused)


def with_motion(
    plates: tuple[Plate, ...], tracks: tuple[TrackState, ...], seconds: float
) -> tuple[Plate, ...]:
    """Moves plates on to where their tracks take them.

    Args:
        seconds: How long ago the plates were seen.
    """
    known = {track.track_id: track for track in tracks}  # seen once, it has no velocity yet
    if not seconds or not known:
        return plates
    there = []
    for plate in plates:
        track = None if plate.track is None else known.get(plate.track)
        if track is not None:
            points = np.clip(_moved(plate.corners, track, seconds), -MAX_SIDE, 2 * MAX_SIDE)
            (tl, tr, br, bl) = [(float(x), float(y)) for x, y in points]
            plate = plate.model_copy(update={"corners": (tl, tr, br, bl)})
        there.append(plate)
    return tuple(there)


def _between_s(then: Tracks | Reading, now: Reading | Frame) -> float:
    return elapsed_s(then.captured_at_ms, now.captured_at_ms, then.pts_s, now.pts_s)


def _later(track: TrackState, seconds: float) -> TrackState:
    """A track with the velocity and the growth that it will have (``motion.approach``)."""
    larger = approach(track.growth, seconds)
    vx, vy = (v * larger**2 for v in track.velocity)
    return track.model_copy(update={"velocity": (vx, vy), "growth": track.growth * larger})


def _moved(corners: Corners, track: TrackState, seconds: float) -> npt.NDArray[np.float32]:
    return moved(np.array(corners, np.float32), track.velocity, track.growth, seconds)


def _box(corners: Corners) -> Box:
    return bounding_box(np.array(corners, np.float32))


def _is_seen(plate: Plate, width: int, height: int) -> bool:
    x1, y1, x2, y2 = _box(plate.corners)
    return x2 > 0 and y2 > 0 and x1 < width and y1 < height
