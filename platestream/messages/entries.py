"""Messages as the fields of stream entries, and back.

An entry has scalar fields as plain text, so that ``redis-cli XRANGE`` tells a person something,
and one binary field, ``body``, of msgpack for the rest. Nothing that arrives is trusted: every
size is checked before it is unpacked, and every value is validated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgpack
from pydantic import BaseModel, ValidationError

from platestream.errors import MessageError
from platestream.messages.models import (
    MAX_PIXELS,
    MAX_PLATES,
    End,
    Frame,
    Passage,
    Plate,
    Reading,
    RenderedFrame,
    Tracks,
)

Fields = Mapping[bytes, bytes]

MAX_BODY_BYTES = 128 * 2**20  # a raw 7680x4320 picture is 100 MB
_OF_READINGS_ONLY = {"probabilities", "candidates", "crop"}

M = TypeVar("M", bound=BaseModel)
F = TypeVar("F", bound=Frame)


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
        if frame.previous_frame_id is not None:
            fields["previous_frame_id"] = str(frame.previous_frame_id)
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
