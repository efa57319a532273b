"""What travels: frames, readings, tracks, passages and ends, with the limits of each value."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from platestream.colour import Matrix

Mode = Literal["file", "live"]

MAX_SIDE = 16384  # pixels; the limit of H.264 and of most cameras lies below
MAX_PIXELS = 2**26
MAX_PLATES = 256
MAX_CHARACTERS = 32
MAX_CANDIDATES = 16
MAX_CROP_BYTES = 8192
MAX_PROBABILITIES = 2**17  # bytes; ``platestream.vision.probabilities`` packs into fewer

CAMERA_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
CameraName = Annotated[str, Field(pattern=CAMERA_NAME)]
RING_NAME = CAMERA_NAME[:-1] + r"\.(frames|rendered)\.[0-9a-f]{16}\.[0-9a-f]{8}\.ring$"
Unit = Annotated[float, Field(ge=0.0, le=1.0)]
Coordinate = Annotated[float, Field(ge=-MAX_SIDE, le=2 * MAX_SIDE)]
Point = tuple[Coordinate, Coordinate]
Corners = tuple[Point, Point, Point, Point]
PlateString = Annotated[str, Field(max_length=MAX_CHARACTERS)]
Candidate = tuple[PlateString, Annotated[float, Field(le=0.0)]]
Ordinal = Annotated[int, Field(ge=1, lt=2**63)]
Milliseconds = Annotated[int, Field(ge=0, lt=2**63)]
Seconds = Annotated[float, Field(ge=0, lt=1e9, allow_inf_nan=False)]  # 30 years of video
Speed = Annotated[float, Field(ge=-1e6, le=1e6)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Character(_Message):
    """One character of a plate's text and how sure the recognizer is of it."""

    char: Annotated[str, Field(min_length=1, max_length=4)]
    confidence: Unit


class Plate(_Message):
    """A plate detection with its text.

    Attributes:
        corners: Top-left, top-right, bottom-right, bottom-left of the plate as read, in pixels
            of the frame, origin at its top left.
        score: The detector's score, 0 to 1.
        text: What is written on it; ``?`` for a character too unsure to be shown; empty if nothing.
        confidence: The least of the characters' confidences, 0 to 1.
        accepted: Whether every character is above the threshold and a plate may carry the text.
        raw: The likeliest text whether a plate may carry it or not, without ``?``.
        format: The plate format that the text fits, as ``ru-1``; empty if none.
        probabilities: Of characters by position, as ``platestream.vision.probabilities`` packs
            them; empty where they are not known.
        candidates: The likeliest texts with the logarithms of their probabilities, best first.
        lines: On how many lines it was read.
        crop: The plate warped flat, as JPEG; empty if there is none.
        track: The id of the track that the text is fused over; None where it is one reading's.
    """

    corners: Corners
    score: Unit
    text: PlateString
    confidence: Unit
    characters: Annotated[tuple[Character, ...], Field(max_length=MAX_CHARACTERS)] = ()
    accepted: bool = False
    raw: PlateString = ""
    format: PlateString = ""
    probabilities: Annotated[bytes, Field(max_length=MAX_PROBABILITIES)] = b""
    candidates: Annotated[tuple[Candidate, ...], Field(max_length=MAX_CANDIDATES)] = ()
    lines: Annotated[int, Field(ge=1, le=2)] = 1
    crop: Annotated[bytes, Field(max_length=MAX_CROP_BYTES)] = b""
    track: Ordinal | None = None


class Pixels(_Message):
    """A picture on its way (see ``platestream.pixels``).

    Attributes:
        data: With ``jpeg`` and ``raw``, the picture's bytes.
        ring, slot, generation: With ``shm``, where it lies, and the slot's state when it did.
        layout: With ``shm`` and ``raw``: ``bgr``, three bytes a pixel, or ``i420``, planes with
            4:2:0 chroma.
        matrix, full_range: Of planes: what they mean (see ``platestream.colour``).
    """

    codec: Literal["shm", "jpeg", "raw"]
    layout: Literal["bgr", "i420"] = "bgr"
    matrix: Matrix = "bt601"
    full_range: bool = False
    data: bytes = b""
    ring: Annotated[str, Field(pattern=f"^$|{RING_NAME}")] = ""
    slot: Annotated[int, Field(ge=0, lt=2**31)] = 0
    generation: Annotated[int, Field(ge=0, lt=2**63)] = 0


class Frame(_Message):
    """One picture of a camera.

    Attributes:
        frame_id: Counts up by one within a camera, for ever.
        captured_at_ms: When it was taken, in ms since the epoch. For a file: when the reading of
            the file began, plus the frame's time in it, so that an overlay's age is the one that
            a viewer of the video sees.
        pts_s: Its time in the video, in seconds from the first frame.
        published_at_ms: When capture published it, in ms since the epoch, of a file too; None in
            entries of before there was this field.
        rate: The source's nominal frame rate, as ``30000/1001``.
        mode: ``file`` (nothing is ever dropped) or ``live`` (the newest counts).
    """

    frame_id: Ordinal
    captured_at_ms: Milliseconds
    pts_s: Seconds
    published_at_ms: Milliseconds | None = None
    width: Annotated[int, Field(ge=1, le=MAX_SIDE)]
    height: Annotated[int, Field(ge=1, le=MAX_SIDE)]
    rate: Annotated[str, Field(pattern=r"^[1-9]\d{0,8}/[1-9]\d{0,8}$")] = "25/1"
    mode: Mode = "file"
    pixels: Pixels


class Reading(_Message):
    """What OCR says of one frame: its plates, each with corners and text.

    Attributes:
        pts_s: The frame's time in the video, which motion is measured by; None in entries of
            before there was this field.
        alphabet: The recognizer's: what the classes of the plates' probabilities stand for, from
            the second on.
        whole: Whether the whole picture was looked at, or only where plates were expected.
    """

    frame_id: Ordinal
    captured_at_ms: Milliseconds
    pts_s: Seconds | None = None
    replica: Annotated[str, Field(max_length=128)] = ""
    alphabet: Annotated[str, Field(max_length=255)] = ""
    whole: bool = True
    plates: Annotated[tuple[Plate, ...], Field(max_length=MAX_PLATES)] = ()


class RenderedFrame(Frame):
    """A frame with its overlay drawn.

    Attributes:
        reading_frame_id: The frame of the reading that was drawn; None where none was.
        overlay_age_ms: How much later the frame is than the reading's, in the video.
        rendered_at_ms: When it was published with its overlay, in ms since the epoch.
        previous_frame_id: The frame that was published before it, 0 if none; those in between were
            counted by visualize. None in entries of before there was this field.
    """

    reading_frame_id: int | None = None
    overlay_age_ms: Annotated[int, Field(ge=0)] | None = None
    rendered_at_ms: Milliseconds | None = None
    previous_frame_id: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    plates: Annotated[tuple[Plate, ...], Field(max_length=MAX_PLATES)] = ()


class TrackState(_Message):
    """A track as it stands after a frame.

    Attributes:
        track_id: Counts up by one within a camera.
        corners: As last seen, in pixels.
        velocity: Of the plate's centre, in pixels a second.
        growth: Of the plate, as the rate of the logarithm of its width, a second.
        text, confidence, format, accepted: Of all its readings together.
        first_frame_id, last_frame_id: The first and last frame on which it was seen; with the
            last before this frame, it was not seen on this one.
        frames_seen: On how many frames.
    """

    track_id: Ordinal
    corners: Corners
    velocity: tuple[Speed, Speed]
    growth: Annotated[float, Field(ge=-1e3, le=1e3)] = 0.0
    text: PlateString
    confidence: Unit
    format: PlateString = ""
    accepted: bool = False
    first_frame_id: Ordinal
    last_frame_id: Ordinal
    frames_seen: Annotated[int, Field(ge=1)]


class Tracks(_Message):
    """All of a camera's tracks after one frame.

    Attributes:
        pts_s: The frame's time in the video; None where its reading has none.
    """

    frame_id: Ordinal
    captured_at_ms: Milliseconds
    pts_s: Seconds | None = None
    tracks: Annotated[tuple[TrackState, ...], Field(max_length=MAX_PLATES)] = ()


class Passage(_Message):
    """A plate that came, was read, and has gone.

    Attributes:
        passage_id: Counts up within a camera.
        text, confidence, format, accepted: Of all its readings together.
        first_frame_id, last_frame_id: The first and last frame on which it was seen.
        first_captured_at_ms, last_captured_at_ms: When these were captured, ms since the epoch.
        frames_seen: On how many frames.
        readings: How many of them the text is fused from.
        crop: The best picture of it, flat, as JPEG; empty if there is none.
        crop_frame_id: The frame that the picture is of.
    """

    passage_id: Ordinal
    track_id: Ordinal
    text: PlateString
    confidence: Unit
    format: PlateString = ""
    accepted: bool = False
    first_frame_id: Ordinal
    last_frame_id: Ordinal
    first_captured_at_ms: Milliseconds
    last_captured_at_ms: Milliseconds
    frames_seen: Annotated[int, Field(ge=1)]
    readings: Annotated[int, Field(ge=0)]
    crop: Annotated[bytes, Field(max_length=MAX_CROP_BYTES)] = b""
    crop_frame_id: Ordinal | None = None


class End(_Message):
    """The end of a file, or of a live camera that was stopped: the last entry of a recording.

    Attributes:
        frame_id: The last frame's id; 0 if the camera never had one.
        frames: How many frames the recording has.
        reason: Why it ended, for people.
    """

    frame_id: Annotated[int, Field(ge=0, lt=2**63)]
    frames: Annotated[int, Field(ge=0)]
    reason: Annotated[str, Field(max_length=500)] = ""
