"""Which plates a run has read: readings of one plate over many frames, counted as one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from platestream.messages import Plate
from platestream.plates import edit_distance

_NEAR_FRAMES = 45  # a misreading lies among the right readings, or this close to them
_NEAR_EDITS = 2
_LEAST_READINGS = 2


@dataclass
class Sighting:
    """A plate's text over the frames in which it was read and accepted."""

    text: str
    confidence: float
    first_frame: int
    last_frame: int
    readings: int = 1


class Tally:
    """Counts accepted readings by text, and folds misreadings into the text they belong to."""

    def __init__(self) -> None:
        self._by_text: dict[str, Sighting] = {}

    def add(self, frame_id: int, plates: Iterable[Plate]) -> None:
        """Takes one frame's plates in; those that were not accepted do not count."""
        for plate in plates:
            if not plate.accepted:
                continue
            seen = self._by_text.get(plate.text)
            if seen is None:
                self._by_text[plate.text] = Sighting(
                    plate.text, plate.confidence, frame_id, frame_id
                )
            else:
                seen.confidence = max(seen.confidence, plate.confidence)
                seen.first_frame = min(seen.first_frame, frame_id)
                seen.last_frame = max(seen.last_frame, frame_id)
                seen.readings += 1

    def sightings(self) -> list[Sighting]:
        """The plates, in the order in which they appeared.

        Texts that differ by one or two edits and were read at about the same time are taken for
        readings of one plate; of them the one stays that most agrees, sign by sign, with all.
        What was read on one frame only is left out: most of that is misread from far away.
        """
        ranked = sorted(self._by_text.values(), key=lambda s: (-s.readings, -s.confidence))
        groups: list[list[Sighting]] = []
        for one in ranked:
            group = next((g for g in groups if _alike(one, g[0])), None)
            if group is None:
                groups.append([one])
            else:
                group.append(one)
        seen = [g for g in groups if sum(one.readings for one in g) >= _LEAST_READINGS]
        kept = [max(g, key=lambda one, g=g: _support(one, g)) for g in seen]  # type: ignore[misc]
        return sorted(kept, key=lambda s: (s.first_frame, s.text))


def _support(one: Sighting, group: list[Sighting]) -> float:
    """How many signs of the group's readings, surer ones counting more, this text has in place."""
    return sum(
        other.readings
        * other.confidence
        * sum(a == b for a, b in zip(one.text, other.text, strict=False))
        for other in group
    )


def _alike(one: Sighting, other: Sighting) -> bool:
    near = (
        one.first_frame >= other.first_frame - _NEAR_FRAMES
        and one.last_frame <= other.last_frame + _NEAR_FRAMES
    )
    return near and edit_distance(one.text, other.text) <= _NEAR_EDITS
