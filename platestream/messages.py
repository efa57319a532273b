"""What travels through Redis Streams: frames, readings and ends, as entry fields and back.

An entry has scalar fields as plain text, so that ``redis-cli XRANGE`` tells a person something,
and one binary field, ``body``, of msgpack for the rest. Nothing that arrives is trusted: every
size is checked before it is unpacked, and every value is validated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgpack
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from platestream.colour import Matrix
from platestream.errors import MessageError

Fields = Mapping[bytes, bytes]
Mode = Literal["file", "live"]

MAX_BODY_BYTES = 128 * 2**20  # a raw 7680x4320 picture is 100 MB
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

_OF_READINGS_ONLY = {"probabilities", "candidates", "crop"}

M = TypeVar("M", bound=BaseModel)
F = TypeVar("F", bound="Frame")


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
        overlay_age_ms: The frame's capture time minus that of the reading's frame.
        rendered_at_ms: When it was published with its overlay, in ms since the epoch.
    """

    reading_frame_id: int | None = None
    overlay_age_ms: Annotated[int, Field(ge=0)] | None = None
    rendered_at_ms: Milliseconds | None = None
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


def frame_fields(frame: Frame) -> dict[str, str | bytes]:
    """Lays a frame, rendered or not, out as the fields of a stream entry."""
    fields: dict[str, str | bytes] = {
        "frame_id": str(frame.frame_id),
        "captured_at_ms": str(frame.captured_at_ms),
        **_pts_fields(frame.pts_s),
        "width": str(frame.width),
        "height": str(frame.height),
        "rate": frame.rate,
        "mode": frame.mode,
    }
    if frame.published_at_ms is not None:
        fields["published_at_ms"] = str(frame.published_at_ms)
    body: dict[str, Any] = {"pixels": frame.pixels.model_dump(exclude_defaults=True)}
    if isinstance(frame, RenderedFrame):
        if frame.reading_frame_id is not None and frame.overlay_age_ms is not None:
            fields["reading_frame_id"] = str(frame.reading_frame_id)
            fields["overlay_age_ms"] = str(frame.overlay_age_ms)
        if frame.rendered_at_ms is not None:
            fields["rendered_at_ms"] = str(frame.rendered_at_ms)
        fields["text"] = _texts(frame.plates)
        body["plates"] = [plate.model_dump(exclude=_OF_READINGS_ONLY) for plate in frame.plates]
    fields["body"] = _pack(body)
    return fields


def reading_fields(reading: Reading) -> dict[str, str | bytes]:
    """Lays a reading out as the fields of a stream entry."""
    confidences = [plate.confidence for plate in reading.plates]
    return {
        "frame_id": str(reading.frame_id),
        "captured_at_ms": str(reading.captured_at_ms),
        **_pts_fields(reading.pts_s),
        "replica": reading.replica,
        "alphabet": reading.alphabet,
        "whole": str(int(reading.whole)),
        "text": _texts(reading.plates),
        "confidence": f"{max(confidences):.4f}" if confidences else "",
        "body": _pack({"plates": [plate.model_dump() for plate in reading.plates]}),
    }


def tracks_fields(tracks: Tracks) -> dict[str, str | bytes]:
    """Lays a camera's tracks out as the fields of a stream entry."""
    return {
        "frame_id": str(tracks.frame_id),
        "captured_at_ms": str(tracks.captured_at_ms),
        **_pts_fields(tracks.pts_s),
        "text": " ".join(track.text for track in tracks.tracks if track.text),
        "body": _pack({"tracks": [track.model_dump() for track in tracks.tracks]}),
    }


def passage_fields(passage: Passage) -> dict[str, str | bytes]:
    """Lays a passage out as the fields of a stream entry; the picture alone is binary."""
    values = passage.model_dump(exclude={"crop"}, exclude_none=True)
    scalars: dict[str, str | bytes] = {
        name: str(int(value) if isinstance(value, bool) else value)
        for name, value in values.items()
    }
    return {**scalars, "body": _pack({"crop": passage.crop})}


def end_fields(end: End) -> dict[str, str | bytes]:
    """Lays the end of a recording out as the fields of a stream entry."""
    return {
        "end": "1",
        "frame_id": str(end.frame_id),
        "frames": str(end.frames),
        "reason": end.reason,
    }


def parse_frame(fields: Fields) -> Frame | End:
    """Reads an entry of a ``frames`` stream.

    Raises:
        MessageError: It is not one, or breaks a limit.
    """
    if fields.get(b"end") == b"1":
        return _validate(End, _scalars(fields))
    return _sized(_validate(Frame, _scalars(fields) | _unpack(fields)))


def parse_rendered(fields: Fields) -> RenderedFrame | End:
    """Reads an entry of a ``rendered`` stream.

    Raises:
        MessageError: It is not one, or breaks a limit.
    """
    if fields.get(b"end") == b"1":
        return _validate(End, _scalars(fields))
    return _sized(_validate(RenderedFrame, _scalars(fields) | _unpack(fields)))


def parse_reading(fields: Fields) -> Reading:
    """Reads an entry of a ``readings`` stream.

    Raises:
        MessageError: It is not one, or breaks a limit.
    """
    return _validate(Reading, _scalars(fields) | _unpack(fields))


def parse_tracks(fields: Fields) -> Tracks | End:
    """Reads an entry of a ``tracks`` stream.

    Raises:
        MessageError: It is not one, or breaks a limit.
    """
    if fields.get(b"end") == b"1":
        return _validate(End, _scalars(fields))
    return _validate(Tracks, _scalars(fields) | _unpack(fields))


def parse_passage(fields: Fields) -> Passage | End:
    """Reads an entry of a ``passages`` stream.

    Raises:
        MessageError: It is not one, or breaks a limit.
    """
    if fields.get(b"end") == b"1":
        return _validate(End, _scalars(fields))
    return _validate(Passage, _scalars(fields) | _unpack(fields))


def _texts(plates: tuple[Plate, ...]) -> str:
    return " ".join(plate.text for plate in plates if plate.text)


def _pts_fields(pts_s: float | None) -> dict[str, str | bytes]:
    return {} if pts_s is None else {"pts_s": f"{pts_s:.6f}"}


def _pack(body: dict[str, Any]) -> bytes:
    packed: bytes = msgpack.packb(body, use_bin_type=True)
    if len(packed) > MAX_BODY_BYTES:
        raise MessageError(f"entry body of {len(packed)} bytes; the limit is {MAX_BODY_BYTES}")
    return packed


def _scalars(fields: Fields) -> dict[str, Any]:
    scalars: dict[str, Any] = {}
    for key, value in fields.items():
        if key != b"body":
            if len(key) > 64 or len(value) > 4096:
                raise MessageError(f"scalar field {key[:64]!r} of {len(value)} bytes is too long")
            scalars[key.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
    return scalars


def _unpack(fields: Fields) -> dict[str, Any]:
    body = fields.get(b"body")
    if body is None:
        raise MessageError("entry has no field 'body'; was it written by platestream?")
    if len(body) > MAX_BODY_BYTES:
        raise MessageError(f"entry body of {len(body)} bytes; the limit is {MAX_BODY_BYTES}")
    try:
        unpacked = msgpack.unpackb(
            body,
            raw=False,
            max_array_len=4 * MAX_PLATES,
            max_map_len=64,
            max_str_len=4096,
            max_ext_len=0,
            strict_map_key=True,
        )
    except (ValueError, msgpack.UnpackException) as error:
        raise MessageError(f"entry body is not valid msgpack: {error}") from error
    if not isinstance(unpacked, dict):
        raise MessageError("entry body is not a map")
    return unpacked


def _validate(model: type[M], values: dict[str, Any]) -> M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise MessageError(f"{model.__name__} entry: field '{where}': {first['msg']}") from error


def _sized(frame: F) -> F:
    if frame.width * frame.height > MAX_PIXELS:
        raise MessageError(
            f"frame {frame.frame_id} says {frame.width}x{frame.height}; "
            f"the limit is {MAX_PIXELS} pixels"
        )
    return frame
