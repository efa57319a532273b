"""Which reading visualize draws on a frame."""

from __future__ import annotations

import pytest

from platestream.latest_reading import LatestReading, with_fused_texts, with_motion
from platestream.messages import MAX_SIDE, Frame, Pixels, Plate, Reading, Tracks, TrackState


def reading(frame_id: int) -> Reading:
    return Reading(frame_id=frame_id, captured_at_ms=1000 + 40 * frame_id)


def frame(frame_id: int, captured_at_ms: int) -> Frame:
    return Frame(
        frame_id=frame_id,
        captured_at_ms=captured_at_ms,
        pts_s=0,
        width=1280,
        height=720,
        pixels=Pixels(codec="raw", data=b""),
    )


def test_the_newest_reading_that_is_not_ahead_is_drawn() -> None:
    latest = LatestReading(stale_after_ms=1000)
    for frame_id in (5, 2, 9):  # replicas finish out of order
        latest.add(reading(frame_id))
    found = latest.for_frame(frame(8, 1000 + 40 * 8))
    assert found is not None
    assert (found[0].frame_id, found[1]) == (5, 120)


def test_a_frames_own_reading_has_no_age() -> None:
    latest = LatestReading(1000)
    latest.add(reading(3))
    found = latest.for_frame(frame(3, 1120))
    assert found is not None
    assert found[1] == 0


def test_stale_readings_are_not_drawn() -> None:
    latest = LatestReading(stale_after_ms=100)
    latest.add(reading(1))
    assert latest.for_frame(frame(3, 1040 + 100)) is not None
    assert latest.for_frame(frame(4, 1040 + 101)) is None


@pytest.mark.parametrize(
    ("reading_pts_s", "frame_pts_s", "age_ms"),
    [(2.0, 2.5, 500), (2.0, 3.1, None), (None, 2.5, None), (2.0, 0.5, None)],
)
def test_where_the_clock_was_set_back_a_readings_age_is_by_the_video(
    reading_pts_s: float | None, frame_pts_s: float, age_ms: int | None
) -> None:
    """A frame whose reading tells no time, or is of a recording before, has none for it."""
    latest = LatestReading(stale_after_ms=1000)
    read = {"captured_at_ms": 10**9, "pts_s": reading_pts_s}
    latest.add(reading(3).model_copy(update=read))
    later = frame(20, 10**9 - 3_600_000).model_copy(update={"pts_s": frame_pts_s})
    found = latest.for_frame(later)
    assert (None if found is None else found[1]) == age_ms


def test_before_the_first_reading_there_is_none() -> None:
    latest = LatestReading(1000)
    assert latest.for_frame(frame(1, 1000)) is None
    latest.add(reading(5))
    assert latest.for_frame(frame(4, 1160)) is None


def test_memory_is_bounded_and_the_newest_stay() -> None:
    latest = LatestReading(10**9)
    for frame_id in range(1, 2000):
        latest.add(reading(frame_id))
    found = latest.for_frame(frame(5000, 10**6))
    assert found is not None
    assert found[0].frame_id == 1999
    assert latest.for_frame(frame(100, 10**6)) is None


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
    found = latest.for_frame(frame(6, 1240))
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
        found = latest.for_frame(frame(5, 1200))
        assert found is not None
        assert found[0].plates[0].track is None


def follow(latest: LatestReading, *plates: Plate, tracks: tuple[TrackState, ...]) -> None:
    latest.add(reading(5).model_copy(update={"plates": plates}))
    latest.add_tracks(Tracks(frame_id=5, captured_at_ms=1200, tracks=tracks))


def left(shown: Plate) -> float:
    return shown.corners[0][0]


def test_plates_are_moved_on_to_the_frame() -> None:
    latest = LatestReading(1000)
    follow(latest, plate(100), plate(600), tracks=(track(1, 100, "A301PO174", speed=500),))
    found = latest.for_frame(frame(10, 1400))
    assert found is not None
    moving, unknown = found[0].plates
    assert left(moving) == pytest.approx(200)
    assert left(unknown) == 600
    own = latest.for_frame(frame(5, 1200))
    assert own is not None
    assert [left(one) for one in own[0].plates] == [100, 600]


@pytest.mark.parametrize(
    ("tracks_pts_s", "reading_pts_s", "frame_pts_s", "moved_by", "age_ms"),
    [
        (9.8, 10.0, 10.1, 50, 100),  # by stream time, though the frames came 400 ms apart
        (9.8, 10.0, 0.1, 200, 400),  # a recording that began anew: by the clock
        (None, None, 10.1, 200, 400),  # of an OCR that says no time
    ],
)
def test_plates_are_moved_by_stream_time_where_it_is_known(
    tracks_pts_s: float | None,
    reading_pts_s: float | None,
    frame_pts_s: float,
    moved_by: float,
    age_ms: int,
) -> None:
    latest = LatestReading(1000)
    read = {"plates": (plate(100),), "pts_s": reading_pts_s}
    latest.add(reading(5).model_copy(update=read))
    one = track(1, 0 if tracks_pts_s else 100, "A301PO174", speed=500)
    at_ms = 600 if tracks_pts_s else 1200  # 200 ms before, which the clock takes for 600
    latest.add_tracks(Tracks(frame_id=4, captured_at_ms=at_ms, pts_s=tracks_pts_s, tracks=(one,)))
    found = latest.for_frame(frame(10, 1600).model_copy(update={"pts_s": frame_pts_s}))
    assert found is not None
    assert found[1] == age_ms
    assert found[0].plates[0].track == 1
    assert left(found[0].plates[0]) == pytest.approx(100 + moved_by)


def test_plates_that_have_left_the_picture_are_not_drawn() -> None:
    latest = LatestReading(1000)
    follow(latest, plate(20), plate(600), tracks=(track(1, 20, "A301PO174", speed=-600),))
    found = latest.for_frame(frame(10, 1400))
    assert found is not None
    (stays,) = found[0].plates
    assert left(stays) == 600


def test_no_plate_is_moved_for_longer_than_a_second_or_beyond_what_a_message_holds() -> None:
    shown = plate(100).model_copy(update={"track": 1})
    one = track(1, 100, "A301PO174", speed=500)
    (second,), (minute,) = (with_motion((shown,), (one,), s) for s in (1.0, 60.0))
    assert second == minute
    wild = one.model_copy(update={"velocity": (-1e6, 1e6), "growth": 1e3})
    (far,) = with_motion((shown,), (wild,), 0.5)
    Plate.model_validate(far.model_dump())
    assert far.corners[0] == (-MAX_SIDE, 2 * MAX_SIDE)


def test_the_velocity_of_earlier_tracks_is_brought_to_the_reading() -> None:
    """What comes nearer grows, and is the faster the nearer it is."""
    middle, velocity, growth = 140.0, 100.0, 1.0
    one = track(1, 100, "A301PO174", speed=velocity).model_copy(update={"growth": growth})

    def centre(seconds: float) -> float:  # straight on, in perspective
        return middle + velocity * seconds / (1 - growth * seconds)

    latest = LatestReading(1000)
    shown = plate(centre(0.2) - 40)
    latest.add(reading(5).model_copy(update={"plates": (shown,)}))
    latest.add_tracks(Tracks(frame_id=1, captured_at_ms=1000, tracks=(one,)))
    found = latest.for_frame(frame(10, 1400))
    assert found is not None
    xs = [x for x, _ in found[0].plates[0].corners]
    assert sum(xs) / 4 == pytest.approx(centre(0.4), abs=0.1)
