"""Readings of one plate over many frames are counted as one."""

from __future__ import annotations

from platestream.messages import Plate
from platestream.tally import Tally


def plate(text: str, confidence: float = 0.9, accepted: bool = True) -> Plate:
    corners = ((0.0, 0.0), (9.0, 0.0), (9.0, 2.0), (0.0, 2.0))
    return Plate(corners=corners, score=1, text=text, confidence=confidence, accepted=accepted)


def test_one_plate_over_many_frames_is_one() -> None:
    tally = Tally()
    for frame_id in (9, 4, 7):
        tally.add(frame_id, [plate("A301PO174", frame_id / 10)])
    (seen,) = tally.sightings()
    assert (seen.text, seen.first_frame, seen.last_frame) == ("A301PO174", 4, 9)
    assert (seen.readings, seen.confidence) == (3, 0.9)


def test_misreadings_fold_into_what_most_agrees() -> None:
    tally = Tally()
    tally.add(1, [plate("T585XP71", 0.70)])
    tally.add(2, [plate("T585TP71", 0.77)])
    tally.add(3, [plate("T585XP21", 0.67)])
    assert [s.text for s in tally.sightings()] == ["T585XP71"]


def test_different_plates_and_far_times_stay_apart() -> None:
    tally = Tally()
    for frame_id in (1, 2):
        tally.add(frame_id, [plate("A301PO174"), plate("E049OT174")])
        tally.add(900 + frame_id, [plate("A301PO177")])
    assert [s.text for s in tally.sightings()] == ["A301PO174", "E049OT174", "A301PO177"]


def test_what_was_not_accepted_does_not_count() -> None:
    tally = Tally()
    tally.add(1, [plate("A30?PO174", 0.3, accepted=False)])
    assert tally.sightings() == []


def test_a_single_reading_is_no_plate_yet() -> None:
    tally = Tally()
    tally.add(1, [plate("A301PO174")])
    assert tally.sightings() == []
    tally.add(2, [plate("A301PO174")])
    assert len(tally.sightings()) == 1
