"""Tracker: plate detections of one camera, frame after frame, joined into tracks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from platestream import plates
from platestream.plates import PlateFormats
from platestream.vision.assignment import assign
from platestream.vision.decoding import PlateText
from platestream.vision.fusion import TextFusion, TextReading
from platestream.vision.motion import Coordinate, approach, elapsed_s

Corners = npt.NDArray[np.float32]

MOST_TRACKS = 256

# Lengths below are in widths of the plate, so that near and far plates are alike.
_JITTER = 0.05  # how far a detection's centre is off
_SIZE_JITTER = 0.08  # the same of the logarithm of its width
_SPEED = 4.0  # a second: standard deviation of the speed of a plate that was seen once
_GROWTH = 1.0  # a second: the same of the logarithm of its width
_ACCELERATION = 4.0  # a second squared: a near car's, in perspective
_GROWTH_ACCELERATION = 1.0
_SHAKE = 0.2  # a camera trembles: no expectation is surer than this
_GATE = 20.0  # squared Mahalanobis distance, three coordinates; chi squared, 1 of 6,000 is beyond
_ALONE = _GATE / 2  # the cost of no partner, as negative log-likelihood where all is sure

_ONCE = 3  # what was seen once is given up so many times sooner

_LEAST_CHARACTERS = 6  # of a text that may join or part
_SURE = 0.7  # confidence from which texts part what motion would join
_NEAR = 1  # edits between two readings of one plate
_FAR = 3  # edits between two plates
_REACH = 1.5  # widths, and for every second
_REACH_SPEED = 12.0  # that many more, a plate may have moved where only its text tells it
_GREATEST_RATIO = 2.5  # of widths, there
_SAME_TEXT = -6.0  # cost, where texts are near equal
_EDIT = 1.5  # cost of an edit otherwise, where both texts are long enough


@dataclass(frozen=True, slots=True)
class TrackSettings:
    """How tracks begin and end.

    Attributes:
        gone_after_ms: A plate not seen for so long has gone.
        least_readings: On so many frames a plate must have been seen to count.
        threshold: The least confidence, 0 to 1, of a character of the fused text.
        formats: What plates may carry.
    """

    gone_after_ms: int = 1500
    least_readings: int = 2
    threshold: float = 0.6
    formats: PlateFormats = field(default_factory=plates.shipped)


@dataclass(frozen=True, slots=True)
class Observation:
    """A plate as one reading has it.

    Attributes:
        corners: 4x2 float32, pixels: top-left, top-right, bottom-right, bottom-left.
        score: The detector's, 0 to 1.
        text: With its probabilities and candidates, where they are known.
        alphabet: What the classes of its probabilities are, from the second on.
        crop: The plate, flat, as JPEG; empty if there is none.
    """

    corners: Corners
    score: float
    text: PlateText
    alphabet: str
    crop: bytes = b""

    @property
    def width(self) -> float:
        """Mean length of the upper and the lower side, in pixels; at least 1."""
        tl, tr, br, bl = self.corners.astype(np.float64)
        return max(1.0, float(np.hypot(*(tr - tl)) + np.hypot(*(br - bl))) / 2)

    @property
    def quality(self) -> float:
        """How well it shows the plate: width times confidence."""
        return self.width * self.text.confidence


@dataclass(slots=True)
class Track:
    """One plate over the frames in which it was seen.

    Attributes:
        track_id: Counts up by one within a camera.
        x, y: The plate's centre, in pixels.
        size: The logarithm of its width in pixels.
        corners, score: As last seen.
        first_frame_id, last_frame_id: The first and last frame on which it was seen.
        first_ms, last_ms: When these were captured, in ms.
        last_pts_s: The last frame's time in the video; None where that is not known.
        frames_seen: On how many frames.
        fusion: Its readings.
        text: The fused text.
        crop, crop_quality, crop_frame_id: The best picture of it, and from which frame.
    """

    track_id: int
    x: Coordinate
    y: Coordinate
    size: Coordinate
    corners: Corners
    score: float
    first_frame_id: int
    last_frame_id: int
    first_ms: int
    last_ms: int
    fusion: TextFusion
    last_pts_s: float | None = None
    frames_seen: int = 1
    text: PlateText = field(default_factory=lambda: PlateText("", 0.0, (), False))
    crop: bytes = b""
    crop_quality: float = -1.0
    crop_frame_id: int = 0

    @property
    def velocity(self) -> tuple[float, float]:
        """Of the plate's centre, in pixels a second."""
        return self.x.velocity, self.y.velocity

    @property
    def growth(self) -> float:
        """The rate of the logarithm of its width, a second."""
        return self.size.velocity

    @property
    def width(self) -> float:
        """In pixels."""
        return math.exp(self.size.position)


@dataclass(frozen=True, slots=True)
class Step:
    """What a frame did to the tracks.

    Attributes:
        seen: The track of every observation, in their order.
        gone: Tracks that have ended with it, by id; those seen on too few frames to count left
            out.
    """

    seen: list[Track]
    gone: list[Track]


class Tracker:
    """Joins one camera's detections into tracks, and their readings into one text each.

    Positions are predicted for plates that go straight on, in perspective; detections are
    assigned to tracks at the least total cost (squared Mahalanobis distance of place and size, and
    how well the texts agree). Texts that are sure and differ keep apart what motion would join;
    texts that agree join over gaps and jumps that motion alone would not bridge.

    Attributes:
        tracks: Those that may still be seen again, by id.
        next_track_id: The id of the next new track.
        last_frame_id: The frame of the last ``update``; 0 before the first.
        last_ms: When it was captured.
    """

    def __init__(self, settings: TrackSettings | None = None) -> None:
        self.settings = settings or TrackSettings()
        self.tracks: list[Track] = []
        self.next_track_id = 1
        self.last_frame_id = 0
        self.last_ms = 0

    def update(
        self,
        frame_id: int,
        captured_at_ms: int,
        observations: Sequence[Observation],
        *,
        pts_s: float | None = None,
    ) -> Step:
        """Takes in what was read on a frame.

        Args:
            frame_id: Above that of the update before; frames between may be missing.
            captured_at_ms: When the frame was taken.
            observations: At most ``MOST_TRACKS``.
            pts_s: The frame's time in the video, in seconds, which motion is then measured by
                (``motion.elapsed_s``).

        Raises:
            ValueError: The frame is not later than the one before, or there are too many
                observations.
        """
        if len(observations) > MOST_TRACKS:
            raise ValueError(f"{len(observations)} observations; the limit is {MOST_TRACKS}")
        if frame_id <= self.last_frame_id:
            raise ValueError(f"frame {frame_id} comes after frame {self.last_frame_id}")
        gone = []
        if self.last_ms - captured_at_ms > self.settings.gone_after_ms:
            gone = self._follow_clock(captured_at_ms, pts_s)
        captured_at_ms = max(captured_at_ms, self.last_ms)
        gone += self.part(captured_at_ms, pts_s)
        self.last_frame_id, self.last_ms = frame_id, captured_at_ms
        pairs = assign(self._costs(captured_at_ms, pts_s, observations), _ALONE)
        known = {column: self.tracks[row] for row, column in pairs}
        seen = []
        for column, one in enumerate(observations):
            if column in known:
                self._continue(known[column], frame_id, captured_at_ms, pts_s, one)
                seen.append(known[column])
            else:
                seen.append(self._begin(frame_id, captured_at_ms, pts_s, one))
        absorbed = self._join()
        if len(self.tracks) > MOST_TRACKS:
            self.tracks.sort(key=lambda t: (-t.last_ms, t.track_id))
            gone += self._counting(self.tracks[MOST_TRACKS:])
            self.tracks = sorted(self.tracks[:MOST_TRACKS], key=lambda t: t.track_id)
        return Step([absorbed.get(t.track_id, t) for t in seen], gone)

    def part(self, now_ms: int, pts_s: float | None = None) -> list[Track]:
        """Ends the tracks that nothing was seen of for too long; returns those that count.

        Args:
            now_ms: The time, in ms.
            pts_s: The same in the video, in seconds.
        """
        limit_s = self.settings.gone_after_ms / 1000
        gone = [
            t
            for t in self.tracks
            if _unseen_s(t, now_ms, pts_s)
            > (limit_s / _ONCE if self._seen_once_and_missed(t) else limit_s)
        ]
        self.tracks = [t for t in self.tracks if t not in gone]
        return self._counting(gone)

    def end(self) -> list[Track]:
        """Ends all tracks, as a recording has ended; returns those that count."""
        tracks, self.tracks = self.tracks, []
        self.last_ms = 0
        return self._counting(tracks)

    def _follow_clock(self, now_ms: int, pts_s: float | None) -> list[Track]:
        """The clock was set back: tracks keep their distance in time, which the video knows.

        Where it does not, as in a recording that begins anew, all tracks end.

        Returns:
            Those that ended, and count.
        """
        latest = max(self.tracks, key=lambda t: t.last_frame_id, default=None)
        if latest is None or any(_has_run_back(t, pts_s) for t in self.tracks):
            return self.end()
        set_back_ms = latest.last_ms + round(1000 * _unseen_s(latest, now_ms, pts_s)) - now_ms
        for track in self.tracks:
            track.first_ms = max(0, track.first_ms - set_back_ms)
            track.last_ms = max(0, track.last_ms - set_back_ms)
        self.last_ms = now_ms
        return []

    def _counting(self, tracks: list[Track]) -> list[Track]:
        return [t for t in tracks if t.frames_seen >= self.settings.least_readings]

    def _seen_once_and_missed(self, track: Track) -> bool:
        return track.frames_seen == 1 and track.last_frame_id < self.last_frame_id

    def _costs(
        self, now_ms: int, pts_s: float | None, observations: Sequence[Observation]
    ) -> npt.NDArray[np.float64]:
        cost = np.full((len(self.tracks), len(observations)), np.inf)
        looks = [(o, o.corners.mean(0).tolist(), o.width) for o in observations]
        for row, track in enumerate(self.tracks):
            seconds = _unseen_s(track, now_ms, pts_s)
            x, y, size = _expected(track, seconds)
            for column, (one, (seen_x, seen_y), width) in enumerate(looks):
                scale = max(width, track.width)
                text = _text_cost(track.text, one.text)
                deviation = scale * math.hypot(_JITTER, _SHAKE)
                size_deviation = math.hypot(_SIZE_JITTER, _SHAKE)
                squared = (
                    x.distance(seen_x, deviation)
                    + y.distance(seen_y, deviation)
                    + size.distance(math.log(width), size_deviation)
                )
                if squared <= _GATE:
                    # the wider the expectation, the less it says that it is met
                    spread = x.spread(deviation) + y.spread(deviation) + size.spread(size_deviation)
                    cost[row, column] = squared / 2 + spread + text
                elif text == _SAME_TEXT:
                    far = math.hypot(seen_x - x.position, seen_y - y.position) / scale
                    near = math.hypot(
                        seen_x - track.x.position, seen_y - track.y.position
                    ) / scale  # fmt: skip
                    ratio = abs(math.log(width) - track.size.position)
                    if (
                        min(far, near) <= _REACH + _REACH_SPEED * seconds
                        and ratio <= math.log(_GREATEST_RATIO)
                    ):  # fmt: skip
                        cost[row, column] = _ALONE - 1 + min(far, near) / 100
        return cost

    def _begin(self, frame_id: int, now_ms: int, pts_s: float | None, seen: Observation) -> Track:
        x, y = seen.corners.mean(0).tolist()
        width = seen.width
        track = Track(
            self.next_track_id,
            Coordinate.at(x, _JITTER * width, _SPEED * width),
            Coordinate.at(y, _JITTER * width, _SPEED * width),
            Coordinate.at(math.log(width), _SIZE_JITTER, _GROWTH),
            seen.corners,
            seen.score,
            frame_id,
            frame_id,
            now_ms,
            now_ms,
            TextFusion(),
            pts_s,
        )
        self.next_track_id += 1
        self.tracks.append(track)
        self._read(track, frame_id, seen)
        return track

    def _continue(
        self, track: Track, frame_id: int, now_ms: int, pts_s: float | None, seen: Observation
    ) -> None:
        x, y, size = _expected(track, _unseen_s(track, now_ms, pts_s))
        centre_x, centre_y = seen.corners.mean(0).tolist()
        width = seen.width
        track.x = x.corrected(centre_x, _JITTER * width)
        track.y = y.corrected(centre_y, _JITTER * width)
        track.size = size.corrected(math.log(width), _SIZE_JITTER)
        track.corners, track.score = seen.corners, seen.score
        track.last_frame_id, track.last_ms, track.last_pts_s = frame_id, now_ms, pts_s
        track.frames_seen += 1
        self._read(track, frame_id, seen)

    def _read(self, track: Track, frame_id: int, seen: Observation) -> None:
        text = seen.text
        if text.probabilities is not None:
            candidates = tuple(c for c, _ in text.candidates) or (text.raw,)
            track.fusion.add(
                TextReading(
                    frame_id, text.probabilities, seen.alphabet, candidates, seen.width, text.lines
                )
            )
            track.text = track.fusion.text(self.settings.threshold, self.settings.formats)
        if seen.crop and seen.quality > track.crop_quality:
            track.crop, track.crop_quality = seen.crop, seen.quality
            track.crop_frame_id = frame_id

    def _join(self) -> dict[int, Track]:
        """Joins a track that has come to the same text as one that is no longer seen.

        Returns:
            By the id of a track that is no more: the older one that it went into.
        """
        by_text: dict[str, Track] = {}
        absorbed = {}
        for track in sorted(self.tracks, key=lambda t: t.first_frame_id):
            text = track.text
            if not text.accepted or len(text.text) < _LEAST_CHARACTERS:
                continue
            older = by_text.setdefault(text.text, track)
            if older is not track and older.last_frame_id < track.first_frame_id:
                self._absorb(older, track)
                absorbed[track.track_id] = older
        return absorbed

    def _absorb(self, older: Track, younger: Track) -> None:
        older.fusion.add(*younger.fusion.readings)
        older.text = older.fusion.text(self.settings.threshold, self.settings.formats)
        older.x, older.y, older.size = younger.x, younger.y, younger.size
        older.corners, older.score = younger.corners, younger.score
        older.last_frame_id, older.last_ms = younger.last_frame_id, younger.last_ms
        older.last_pts_s = younger.last_pts_s
        older.frames_seen += younger.frames_seen
        if younger.crop_quality > older.crop_quality:
            older.crop, older.crop_quality = younger.crop, younger.crop_quality
            older.crop_frame_id = younger.crop_frame_id
        self.tracks.remove(younger)


def _unseen_s(track: Track, now_ms: int, pts_s: float | None) -> float:
    return elapsed_s(track.last_ms, now_ms, track.last_pts_s, pts_s)


def _has_run_back(track: Track, pts_s: float | None) -> bool:
    return pts_s is None or track.last_pts_s is None or pts_s < track.last_pts_s


def _expected(track: Track, seconds: float) -> tuple[Coordinate, Coordinate, Coordinate]:
    acceleration = _ACCELERATION * track.width
    larger = approach(track.growth, seconds)
    unsure = track.size.velocity_variance
    size = track.size.after(seconds, _GROWTH_ACCELERATION, larger)
    size.position = track.size.position + math.log(larger)
    size.velocity = track.growth * larger
    return (
        track.x.after(seconds, acceleration, larger, unsure),
        track.y.after(seconds, acceleration, larger, unsure),
        size,
    )


def _text_cost(known: PlateText, seen: PlateText) -> float:
    """What two texts say of being one plate's: below 0 for it, above against, infinity: never."""
    a, b = known.guess, seen.guess
    if min(len(a), len(b)) < _LEAST_CHARACTERS:
        return 0.0
    edits = plates.edit_distance(a, b)
    if edits <= _NEAR:
        return _SAME_TEXT
    if edits >= _FAR and min(known.confidence, seen.confidence) >= _SURE:
        return math.inf
    return _EDIT * (edits - _NEAR)
