"""From what vision says to what travels: plates as messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from platestream.errors import MessageError
from platestream.messages import (
    MAX_CANDIDATES,
    MAX_CHARACTERS,
    Character,
    Passage,
    Plate,
    TrackState,
)
from platestream.vision import decoding
from platestream.vision.decoding import PlateText
from platestream.vision.probabilities import pack, unpack
from platestream.vision.tracking import Observation, Track

if TYPE_CHECKING:  # the tracker's process needs no networks
    from platestream.vision.reader import ReadPlate


def to_message(plate: ReadPlate) -> Plate:
    """A read plate as the message that streams and overlays know; without its picture."""
    (tl, tr, br, bl) = [(float(x), float(y)) for x, y in plate.detection.corners]
    probabilities = plate.text.probabilities
    return Plate(
        corners=(tl, tr, br, bl),
        score=min(1.0, max(0.0, float(plate.detection.score))),
        text=plate.text.text[:MAX_CHARACTERS],
        confidence=plate.text.confidence,
        characters=tuple(
            Character(char=c.char, confidence=min(1.0, c.confidence))
            for c in plate.text.characters[:MAX_CHARACTERS]
        ),
        accepted=plate.text.accepted,
        raw=plate.text.raw[:MAX_CHARACTERS],
        format=plate.text.format or "",
        probabilities=b"" if probabilities is None else pack(probabilities),
        candidates=tuple(
            (text, min(0.0, log))
            for text, log in plate.text.candidates[:MAX_CANDIDATES]
            if len(text) <= MAX_CHARACTERS
        ),
        lines=plate.text.lines,
    )


def to_observation(plate: Plate, alphabet: str) -> Observation:
    """A plate of a reading as the tracker takes it.

    Args:
        alphabet: What the classes of its probabilities stand for, from the second on.

    Raises:
        MessageError: Its probabilities are damaged, or not of the alphabet.
    """
    probabilities = unpack(plate.probabilities) if plate.probabilities else None
    if probabilities is not None and probabilities.shape[1] != len(alphabet) + 1:
        raise MessageError(
            f"probabilities of {probabilities.shape[1]} classes for an alphabet of {len(alphabet)}"
        )
    text = PlateText(
        plate.text,
        plate.confidence,
        tuple(decoding.Character(c.char, c.confidence) for c in plate.characters),
        plate.accepted,
        plate.raw,
        plate.format or None,
        probabilities,
        plate.candidates,
        plate.lines,
    )
    corners = np.array(plate.corners, np.float32)
    return Observation(corners, plate.score, text, alphabet, crop=plate.crop)


def to_track_state(track: Track) -> TrackState:
    """A track as the message that tells how it stands."""
    (tl, tr, br, bl) = [(float(x), float(y)) for x, y in track.corners]
    vx, vy = track.velocity
    return TrackState(
        track_id=track.track_id,
        corners=(tl, tr, br, bl),
        velocity=(max(-1e6, min(1e6, vx)), max(-1e6, min(1e6, vy))),
        growth=max(-1e3, min(1e3, track.growth)),
        text=track.text.text,
        confidence=track.text.confidence,
        format=track.text.format or "",
        accepted=track.text.accepted,
        first_frame_id=track.first_frame_id,
        last_frame_id=track.last_frame_id,
        frames_seen=track.frames_seen,
    )


def fused_plate(plate: ReadPlate, track: Track) -> Plate:
    """A read plate as a message, with the text of its track."""
    return to_message(plate).model_copy(
        update={
            "text": track.text.text,
            "confidence": track.text.confidence,
            "format": track.text.format or "",
            "accepted": track.text.accepted,
            "track": track.track_id,
        }
    )


def to_passage(track: Track, passage_id: int) -> Passage:
    """A track that has gone as the message that tells of it."""
    return Passage(
        passage_id=passage_id,
        track_id=track.track_id,
        text=track.text.text,
        confidence=track.text.confidence,
        format=track.text.format or "",
        accepted=track.text.accepted,
        first_frame_id=track.first_frame_id,
        last_frame_id=track.last_frame_id,
        first_captured_at_ms=track.first_ms,
        last_captured_at_ms=track.last_ms,
        frames_seen=track.frames_seen,
        readings=len(track.fusion.readings),
        crop=track.crop,
        crop_frame_id=track.crop_frame_id or None,
    )
