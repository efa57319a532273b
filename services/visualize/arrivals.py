"""What has come of a camera's readings and tracks; waits for a frame's own where that is wanted."""

from __future__ import annotations

import time
from collections.abc import Sequence

from platestream import messages, streams
from platestream.errors import MessageError
from platestream.latest_reading import KEPT, LatestReading
from platestream.messages import End, Fields
from platestream.runtime import Session
from platestream.streams import Follower

_LOOK_BACK = 256
_BLOCK_MS = 20
_PATIENCE_S = 15.0  # a model is loaded in less; waiting for longer is said


class Arrivals:
    """Follows ``readings`` and ``tracks`` into a ``LatestReading``.

    Attributes:
        latest: What has come so far.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._camera = session.settings.camera
        client, settings = session.client, session.settings
        ahead = 2 * settings.streams.window_frames  # OCR may be so far ahead of what is drawn
        back = max(_LOOK_BACK, ahead)
        self._readings = Follower(client, streams.readings_key(self._camera), since_last=back)
        self._tracks = Follower(client, streams.tracks_key(self._camera), since_last=back)
        self._tracked_frame_id = 0
        self.latest = LatestReading(settings.visualize.stale_after_ms, max(KEPT, ahead))

    def take_in(self) -> None:
        """Takes in what has come since; never waits."""
        readings, tracks = streams.read_together([self._readings, self._tracks])
        self._add_readings(readings)
        self._add_tracks(tracks)

    def wait_for(self, frame_id: int) -> bool:
        """Waits until a frame's reading and its tracks have come, or it is sure that none will.

        OCR publishes a reading and acknowledges its frame in one transaction, and the tracker
        publishes tracks for every reading, in frame order: a frame that OCR is done with and has
        no reading (it was skipped, or is dead) will never have one; and where tracks of a frame
        are there, so is all that there will be of the frames before it.

        Returns:
            False if the session was stopped before.
        """
        client, key = self._session.client, streams.frames_key(self._camera)
        remind_at = time.monotonic() + _PATIENCE_S
        while True:
            through = streams.first_unfinished(client, key, streams.OCR) > frame_id
            self._take_tracks(None if through else _BLOCK_MS)
            while self._take_readings():
                pass
            read = self.latest.has(frame_id)
            if self._tracked_frame_id >= frame_id or (through and not read):
                return True
            if self._session.stopped():
                return False
            if read:
                self._take_tracks(_BLOCK_MS)
            if time.monotonic() >= remind_at:
                remind_at += _PATIENCE_S
                what, who = ("tracks", "track") if read else ("reading", "ocr")
                self._session.log.warning(
                    f"frame {frame_id} waits for its {what} (visualize.sync is exact); "
                    f"is {who} running?"
                )

    def _take_readings(self) -> bool:
        entries = self._readings.read()
        self._add_readings(entries)
        return bool(entries)

    def _take_tracks(self, block_ms: int | None) -> None:
        self._add_tracks(self._tracks.read(block_ms=block_ms))

    def _add_readings(self, entries: Sequence[Fields]) -> None:
        for fields in entries:
            try:
                self.latest.add(messages.parse_reading(fields))
            except MessageError as error:
                self._refused(f"a reading was refused: {error}")

    def _add_tracks(self, entries: Sequence[Fields]) -> None:
        for fields in entries:
            try:
                tracks = messages.parse_tracks(fields)
            except MessageError as error:
                self._refused(f"tracks were refused: {error}")
                continue
            self._tracked_frame_id = max(self._tracked_frame_id, tracks.frame_id)
            if not isinstance(tracks, End):
                self.latest.add_tracks(tracks)

    def _refused(self, what: str) -> None:
        self._session.log.error(what)
        self._session.count(self._camera, refused_by_visualize=1)
