"""Where plates are expected on a live frame: most frames then need no look at the whole picture."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import numpy as np

from platestream import messages, streams
from platestream.errors import MessageError
from platestream.latest_reading import LatestReading
from platestream.messages import Frame, Plate, Reading, Tracks
from platestream.vision.geometry import Box, bounding_box, suppress
from platestream.vision.motion import elapsed_s, moved

KNOWN_FOR_MS = 500  # nobody knows where a plate is that was not seen for longer
_PAUSE = 4.0  # of the time that a look at the whole took: where that is little, many are whole
_MOST = 8  # places; more, and the whole picture is as soon looked at
_SAME = 0.3  # intersection over union of two expectations of one plate
_NARROWEST = 4.0  # pixels of a place
_KEPT = 8  # readings of a camera, and frames' tracks


class Expectations:
    """Says of each frame where to look.

    The whole picture is looked at every so often, and where nothing is expected. In between only
    those places are where this replica last saw plates, moved on with their tracks, and where
    tracks say that others saw some.
    """

    def __init__(self, client: streams.Client, whole_look_ms: int, policy: streams.Policy) -> None:
        """Knows nothing yet.

        Args:
            whole_look_ms: The longest pause between looks at a whole picture of a camera; 0: all
                are whole.
            policy: Which frames are read; where every one is, all are looked at as a whole.
        """
        self._client = client
        self._pause_s = whole_look_ms / 1000 if policy != "every" else 0.0
        self._of_files = policy == "newest"
        self._next_whole: dict[str, float] = {}  # camera: when, on the monotonic clock
        self._latest: dict[str, LatestReading] = {}

    def places(self, frames: Sequence[tuple[str, Frame]]) -> list[list[Box] | None]:
        """Where to look on frames, each with its camera.

        Returns:
            For each frame boxes, x1, y1, x2, y2 in pixels; None: everywhere.
        """
        now = time.monotonic()
        asked = {
            camera
            for camera, frame in frames
            if (self._of_files or frame.mode == "live") and now < self._next_whole.get(camera, 0.0)
        }
        tracks = {
            camera: self._tracks(camera, fields)
            for camera, fields in streams.newest_tracks(self._client, sorted(asked)).items()
        }
        return [
            self._expected(camera, frame, tracks[camera]) if camera in asked else None
            for camera, frame in frames
        ]

    def looked(self, camera: str, reading: Reading, took_s: float) -> None:
        """Takes in what was just seen on a frame, and how long it took to look."""
        if reading.whole:
            pause_s = min(self._pause_s, _PAUSE * took_s)
            self._next_whole[camera] = time.monotonic() + pause_s
        if self._pause_s:
            self._of(camera).add(reading)

    def forget(self, cameras: Iterable[str]) -> None:
        """Drops what is known of cameras that are gone."""
        for camera in cameras:
            self._next_whole.pop(camera, None)
            self._latest.pop(camera, None)

    def _of(self, camera: str) -> LatestReading:
        return self._latest.setdefault(camera, LatestReading(KNOWN_FOR_MS, _KEPT))

    def _tracks(self, camera: str, fields: messages.Fields | None) -> Tracks | None:
        try:
            tracks = messages.parse_tracks(fields) if fields else None
        except MessageError:  # visualize and `track` say so; the picture can be looked at
            return None
        if not isinstance(tracks, Tracks):
            return None
        self._of(camera).add_tracks(tracks)
        return tracks

    def _expected(self, camera: str, frame: Frame, tracks: Tracks | None) -> list[Box] | None:
        own = self._of(camera).for_frame(frame)
        boxes = [_box(plate) for plate in own[0].plates] if own else []
        boxes += _followed(tracks, frame) if tracks else []
        boxes = [box for box in boxes if _can_be_seen(box, frame)]
        if not boxes:
            return None
        kept = suppress(np.array(boxes, np.float32), np.ones(len(boxes), np.float32), _SAME)
        return [boxes[i] for i in kept] if len(kept) <= _MOST else None


def _followed(tracks: Tracks, frame: Frame) -> list[Box]:
    """Where plates that were seen on the tracks' own frame are by now."""
    seconds = elapsed_s(tracks.captured_at_ms, frame.captured_at_ms, tracks.pts_s, frame.pts_s)
    if abs(seconds) * 1000 > KNOWN_FOR_MS:
        return []
    return [
        bounding_box(
            moved(np.array(track.corners, np.float32), track.velocity, track.growth, seconds)
        )
        for track in tracks.tracks
        if track.last_frame_id == tracks.frame_id
    ]


def _box(plate: Plate) -> Box:
    return bounding_box(np.array(plate.corners, np.float32))


def _can_be_seen(box: Box, frame: Frame) -> bool:
    x1, y1, x2, y2 = box
    inside = x2 > 0 and y2 > 0 and x1 < frame.width and y1 < frame.height
    return inside and _NARROWEST <= x2 - x1 <= frame.width and y2 - y1 <= frame.height
