"""Which reading visualize draws on a frame."""

from __future__ import annotations

from platestream.messages import Plate, Reading, Tracks, TrackState
from services.visualize.readings import LatestReading, with_fused_texts


def reading(frame_id: int) -> Reading:
    return Reading(frame_id=frame_id, captured_at_ms=1000 + 40 * frame_id)


def test_the_newest_reading_that_is_not_ahead_is_drawn() -> None:
    latest = LatestReading(stale_after_ms=1000)
    for frame_id in (5, 2, 9):  # replicas finish out of order
        latest.add(reading(frame_id))
    found = latest.for_frame(8, 1000 + 40 * 8)
    assert found is not None
    assert (found[0].frame_id, found[1]) == (5, 120)


def test_a_frames_own_reading_has_no_age() -> None:
    latest = LatestReading(1000)
    latest.add(reading(3))
    found = latest.for_frame(3, 1120)
    assert found is not None
    assert found[1] == 0


def test_stale_readings_are_not_drawn() -> None:
    latest = LatestReading(stale_after_ms=100)
    latest.add(reading(1))
    assert latest.for_frame(3, 1040 + 100) is not None
    assert latest.for_frame(4, 1040 + 101) is None


def test_before_the_first_reading_there_is_none() -> None:
    latest = LatestReading(1000)
    assert latest.for_frame(1, 1000) is None
    latest.add(reading(5))
    assert latest.for_frame(4, 1160) is None


def test_memory_is_bounded_and_the_newest_stay() -> None:
    latest = LatestReading(10**9)
    for frame_id in range(1, 2000):
        latest.add(reading(frame_id))
    found = latest.for_frame(5000, 10**6)
    assert found is not None
    assert found[0].frame_id == 1999
    assert latest.for_frame(100, 10**6) is None


def plate(x: float, text: str = "A30?PO174") -> Plate:
    corners = ((x, 100.0), (x + 80, 100.0), (x + 80, 118.0), (x, 118.0))
    return Plate(corners=corners, score=0.9, text=text, confidence=0.4)


def track(track_id: int, x: float, text: str, speed: float = 0) -> TrackState:
    return TrackState(
        track_id=track_id,
        corners=plate(x).corners,
        velocity=(speed, 0.0),
        text=text,
        confidence=0.99,
        format="ru-1",
        accepted=True,
        first_frame_id=1,
        last_frame_id=5,
        frames_seen=5,
    )


def test_a_plate_is_shown_with_its_tracks_fused_text() -> None:
    latest = LatestReading(1000)
    latest.add(reading(5).model_copy(update={"plates": (plate(100), plate(600, "M8"))}))
    latest.add_tracks(
        Tracks(
            frame_id=5,
            captured_at_ms=1200,
            tracks=(track(2, 600, "M807MA71"), track(1, 100, "A301PO174")),
        )
    )
    found = latest.for_frame(6, 1240)
    assert found is not None
    one, two = found[0].plates
    assert (one.text, one.confidence, one.accepted, one.track) == ("A301PO174", 0.99, True, 1)
    assert (two.text, two.track) == ("M807MA71", 2)
    assert one.corners == plate(100).corners


def test_tracks_of_an_earlier_frame_are_moved_to_where_they_are_now() -> None:
    before = (track(1, 100, "A301PO174", speed=500),)
    (far,) = with_fused_texts((plate(200),), before, seconds=0.2)
    assert far.text == "A301PO174"
    (elsewhere,) = with_fused_texts((plate(400),), before, seconds=0.2)
    assert (elsewhere.text, elsewhere.track) == ("A30?PO174", None)


def test_a_track_names_one_plate_only() -> None:
    one, two = with_fused_texts((plate(100), plate(110)), (track(1, 108, "A301PO174"),), 0)
    assert (one.track, two.track) == (None, 1)


def test_old_tracks_and_tracks_of_later_frames_are_not_used() -> None:
    latest = LatestReading(stale_after_ms=100)
    latest.add(reading(5).model_copy(update={"plates": (plate(100),)}))
    for frame_id, captured_at_ms in ((1, 1040), (6, 1240)):
        tracks = Tracks(
            frame_id=frame_id,
            captured_at_ms=captured_at_ms,
            tracks=(track(1, 100, "A301PO174"),),
        )
        latest.add_tracks(tracks)
        found = latest.for_frame(5, 1200)
        assert found is not None
        assert found[0].plates[0].track is None
