"""From what vision says to what travels: plates as messages."""

from __future__ import annotations

from platestream.messages import Character, Plate
from platestream.vision.reader import ReadPlate


def to_message(plate: ReadPlate) -> Plate:
    """A read plate as the message that streams and overlays know."""
    (tl, tr, br, bl) = [(float(x), float(y)) for x, y in plate.detection.corners]
    return Plate(
        corners=(tl, tr, br, bl),
        score=min(1.0, max(0.0, float(plate.detection.score))),
        text=plate.text.text,
        confidence=plate.text.confidence,
        characters=tuple(
            Character(char=c.char, confidence=min(1.0, c.confidence)) for c in plate.text.characters
        ),
        accepted=plate.text.accepted,
    )
