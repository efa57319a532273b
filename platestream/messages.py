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

from platestream.errors import MessageError

Fields = Mapping[bytes, bytes]
Mode = Literal["file", "live"]

MAX_BODY_BYTES = 128 * 2**20  # a raw 7680x4320 picture is 100 MB
MAX_SIDE = 16384  # pixels; the limit of H.264 and of most cameras lies below
MAX_PIXELS = 2**26
MAX_PLATES = 256
MAX_CHARACTERS = 32
MAX_PROBABILITIES = 2**17  # bytes; ``platestream.vision.probabilities`` packs into fewer

CameraName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Unit = Annotated[float, Field(ge=0.0, le=1.0)]
Coordinate = Annotated[float, Field(ge=-MAX_SIDE, le=2 * MAX_SIDE)]
Point = tuple[Coordinate, Coordinate]

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
        text: What is written on it; ``?`` where a character is too unsure; empty if nothing.
        confidence: The least of the characters' confidences, 0 to 1.
        accepted: Whether every character is above the threshold and a plate may carry the text.
        raw: The likeliest text whether a plate may carry it or not, without ``?``.
        format: The plate format that the text fits, as ``ru-1``; empty if none.
        probabilities: Of characters by position, as ``platestream.vision.probabilities`` packs
            them; empty where they are not known.
    """

    corners: tuple[Point, Point, Point, Point]
    score: Unit
    text: Annotated[str, Field(max_length=MAX_CHARACTERS)]
    confidence: Unit
    characters: Annotated[tuple[Character, ...], Field(max_length=MAX_CHARACTERS)] = ()
    accepted: bool = False
    raw: Annotated[str, Field(max_length=MAX_CHARACTERS)] = ""
    format: Annotated[str, Field(max_length=MAX_CHARACTERS)] = ""
    probabilities: Annotated[bytes, Field(max_length=MAX_PROBABILITIES)] = b""


class Pixels(_Message):
    """A picture on its way: the codec's name and its bytes (see ``platestream.pixels``)."""

    codec: Literal["jpeg", "raw"]
    data: bytes


class Frame(_Message):
    """One picture of a camera.

    Attributes:
        frame_id: Counts up by one within a camera, for ever.
        captured_at_ms: When it was taken, in ms since the epoch. For a file: when the reading of
            the file began, plus the frame's time in it, so that an overlay's age is the one that
            a viewer of the video sees.
        pts_s: Its time in the video, in seconds from the first frame.
        rate: The source's nominal frame rate, as ``30000/1001``.
        mode: ``file`` (nothing is ever dropped) or ``live`` (the newest counts).
    """

    frame_id: Annotated[int, Field(ge=1, lt=2**63)]
    captured_at_ms: Annotated[int, Field(ge=0)]
    pts_s: Annotated[float, Field(ge=0)]
    width: Annotated[int, Field(ge=1, le=MAX_SIDE)]
    height: Annotated[int, Field(ge=1, le=MAX_SIDE)]
    rate: Annotated[str, Field(pattern=r"^[1-9]\d{0,8}/[1-9]\d{0,8}$")] = "25/1"
    mode: Mode = "file"
    pixels: Pixels


class Reading(_Message):
    """What OCR says of one frame: its plates, each with corners and text."""

    frame_id: Annotated[int, Field(ge=1, lt=2**63)]
    captured_at_ms: Annotated[int, Field(ge=0)]
    replica: Annotated[str, Field(max_length=128)] = ""
    plates: Annotated[tuple[Plate, ...], Field(max_length=MAX_PLATES)] = ()


class RenderedFrame(Frame):
    """A frame with its overlay drawn.

    Attributes:
        reading_frame_id: The frame of the reading that was drawn; None where none was.
        overlay_age_ms: The frame's capture time minus that of the reading's frame.
    """

    reading_frame_id: int | None = None
    overlay_age_ms: Annotated[int, Field(ge=0)] | None = None
    plates: Annotated[tuple[Plate, ...], Field(max_length=MAX_PLATES)] = ()


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
        "pts_s": f"{frame.pts_s:.6f}",
        "width": str(frame.width),
        "height": str(frame.height),
        "rate": frame.rate,
        "mode": frame.mode,
    }
    body: dict[str, Any] = {"pixels": {"codec": frame.pixels.codec, "data": frame.pixels.data}}
    if isinstance(frame, RenderedFrame):
        if frame.reading_frame_id is not None and frame.overlay_age_ms is not None:
            fields["reading_frame_id"] = str(frame.reading_frame_id)
            fields["overlay_age_ms"] = str(frame.overlay_age_ms)
        fields["text"] = _texts(frame.plates)
        body["plates"] = [plate.model_dump(exclude={"probabilities"}) for plate in frame.plates]
    fields["body"] = _pack(body)
    return fields


def reading_fields(reading: Reading) -> dict[str, str | bytes]:
    """Lays a reading out as the fields of a stream entry."""
    confidences = [plate.confidence for plate in reading.plates]
    return {
        "frame_id": str(reading.frame_id),
        "captured_at_ms": str(reading.captured_at_ms),
        "replica": reading.replica,
        "text": _texts(reading.plates),
        "confidence": f"{max(confidences):.4f}" if confidences else "",
        "body": _pack({"plates": [plate.model_dump() for plate in reading.plates]}),
    }


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


def _texts(plates: tuple[Plate, ...]) -> str:
    return " ".join(plate.text for plate in plates if plate.text)


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
