"""From what vision says to what travels: plates as messages."""

from __future__ import annotations

from platestream.messages import MAX_CHARACTERS, Character, Plate
from platestream.vision.probabilities import pack
from platestream.vision.reader import ReadPlate


def to_message(plate: ReadPlate) -> Plate:
    """A read plate as the message that streams and overlays know."""
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
    )
