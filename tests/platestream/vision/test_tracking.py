"""Tracking: which detections are one plate, over gaps, jumps and crossings."""

from __future__ import annotations

import numpy as np
import pytest

from platestream.vision.tracking import MOST_TRACKS, Observation, Track, Tracker, TrackSettings
from tests.platestream.vision.test_fusion import ALPHABET, noisy, read

FRAME_MS = 40


def plate(
    x: float, y: float, text: str = "", width: float = 80, noise: float = 0.3, seed: int = 0
) -> Observation:
    """A plate seen with its centre at a point."""
    half, up = width / 2, width / 9
    corners = np.array(
        [[x - half, y - up], [x + half, y - up], [x + half, y + up], [x - half, y + up]],
        np.float32,
    )
    said = read(noisy(text, np.random.default_rng(seed), noise))
    return Observation(corners, 0.9, said, ALPHABET, crop=b"jpeg" if text else b"")


def run(frames: dict[int, list[Observation]], settings: TrackSettings | None = None) -> list[Track]:
    """Follows plates over frames; all tracks that count."""
    tracker = Tracker(settings)
    gone = []
    for frame_id, seen in frames.items():
        gone += tracker.update(frame_id, FRAME_MS * frame_id, seen).gone
    return sorted(gone + tracker.end(), key=lambda t: t.track_id)


def test_a_plate_that_moves_is_one_track() -> None:
    frames = {n: [plate(100 + 12 * n, 300 + 3 * n, "A301PO174")] for n in range(1, 30)}
    (track,) = run(frames)
    assert (track.first_frame_id, track.last_frame_id, track.frames_seen) == (1, 29, 29)
    assert (track.first_ms, track.last_ms) == (40, 29 * 40)
    assert track.text.text == "A301PO174"
    assert track.velocity == pytest.approx((300, 75), rel=0.1)
    assert track.crop == b"jpeg"


def test_velocity_is_measured_by_stream_time_however_frames_arrive() -> None:
    late_ms = np.random.default_rng(1).exponential(60, 30)
    arrivals = np.maximum.accumulate([FRAME_MS * n + late_ms[n] for n in range(30)])

    def velocity(*, stamped: bool) -> float:
        tracker = Tracker()
        for n, arrived in enumerate(arrivals):
            pts_s = n * FRAME_MS / 1000 if stamped else None
            tracker.update(n + 1, round(arrived), [plate(100 + 12 * n, 300)], pts_s=pts_s)
        return max(tracker.tracks, key=lambda t: t.frames_seen).velocity[0]

    assert velocity(stamped=True) == pytest.approx(300, rel=0.02)
    assert velocity(stamped=False) != pytest.approx(300, rel=0.1)


def test_frames_that_a_hung_machine_captures_late_part_no_track() -> None:
    tracker = Tracker()
    for n in range(1, 20):
        captured_at_ms = FRAME_MS * n + (5000 if n > 10 else 0)
        seen = [plate(100 + 12 * n, 300, "A301PO174")]
        assert not tracker.update(n, captured_at_ms, seen, pts_s=FRAME_MS * n / 1000).gone
    (track,) = tracker.end()
    assert track.frames_seen == 19


def test_a_plate_that_cannot_be_read_is_followed_by_its_motion() -> None:
    frames = {n: [plate(100 + 20 * n, 300)] for n in range(1, 30)}
    (track,) = run(frames)
    assert track.frames_seen == 29
    assert track.text.text == ""


def test_a_plate_that_grows_as_it_comes_nearer_is_one_track() -> None:
    frames = {}
    for n in range(1, 40):
        width = 30 * 1.05**n
        frames[n] = [plate(200 + 1.5 * width, 200 + width, width=width)]
    assert len(run(frames)) == 1


@pytest.mark.parametrize("texts", [("", ""), ("A301PO174", "M807MA71")])
def test_crossing_cars_keep_their_tracks(texts: tuple[str, str]) -> None:
    frames = {
        n: [plate(100 + 20 * n, 300, texts[0]), plate(900 - 20 * n, 330, texts[1])]
        for n in range(1, 40)
    }
    first, second = run(frames)
    assert first.velocity[0] > 400
    assert second.velocity[0] < -400
    assert (first.text.text, second.text.text) == texts


def test_texts_tell_cars_apart_that_meet_on_one_spot() -> None:
    """One drives away behind the other's place: motion alone would go on with the wrong one."""
    frames = {n: [plate(400, 300, "A301PO174")] for n in range(1, 11)}
    frames |= {n: [plate(400, 300, "M807MA71")] for n in range(11, 21)}
    first, second = run(frames)
    assert (first.text.text, second.text.text) == ("A301PO174", "M807MA71")
    assert (first.last_frame_id, second.first_frame_id) == (10, 11)


def test_texts_join_over_a_gap_and_a_jump() -> None:
    """Behind a bus for most of a second, then elsewhere than its motion said."""
    frames = {n: [plate(100 + 4 * n, 300, "A301PO174")] for n in range(1, 11)}
    frames |= {n: [] for n in range(11, 31)}
    frames |= {n: [plate(500 + 4 * n, 400, "A301PO174", seed=n)] for n in range(31, 41)}
    (track,) = run(frames)
    assert (track.first_frame_id, track.last_frame_id, track.frames_seen) == (1, 40, 20)


def test_without_a_text_such_a_jump_is_another_plate() -> None:
    frames = {n: [plate(100 + 4 * n, 300)] for n in range(1, 11)}
    frames |= {n: [plate(500 + 4 * n, 400)] for n in range(31, 41)}
    assert len(run(frames)) == 2


def test_a_track_read_late_goes_into_the_one_it_belongs_to() -> None:
    """Lost, found again too far off to be read, then read: one passage, not two."""
    frames = {n: [plate(100 + 4 * n, 300, "A301PO174")] for n in range(1, 11)}
    frames |= {n: [plate(500 + 4 * n, 400)] for n in range(25, 30)}
    frames |= {n: [plate(500 + 4 * n, 400, "A301PO174")] for n in range(30, 40)}
    (track,) = run(frames)
    assert (track.track_id, track.first_frame_id, track.last_frame_id) == (1, 1, 39)
    assert track.frames_seen == 25


def test_sparse_frames_as_live_reads_them() -> None:
    frames = {n: [plate(100 + 12 * n, 300 + 3 * n, "A301PO174")] for n in range(1, 60, 5)}
    (track,) = run(frames)
    assert track.frames_seen == 12


def test_a_plate_that_is_gone_ends_its_track() -> None:
    tracker = Tracker(TrackSettings(gone_after_ms=1000))
    for n in (1, 2, 3):
        assert tracker.update(n, FRAME_MS * n, [plate(100, 100, "A301PO174")]).gone == []
    assert tracker.update(28, FRAME_MS * 28, []).gone == []
    (gone,) = tracker.update(29, FRAME_MS * 29, []).gone
    assert gone.text.text == "A301PO174"
    assert tracker.tracks == []
    assert tracker.end() == []


def test_what_was_seen_once_does_not_count() -> None:
    frames = {1: [plate(100, 100, "A301PO174")], 2: [], 3: [plate(800, 500)]}
    assert run(frames) == []
    assert len(run(frames, TrackSettings(least_readings=1))) == 2


def test_misreadings_of_one_plate_stay_one_track() -> None:
    texts = ["T585XP71", "T585TP71", "T585XP21", "T585XP71", "E585XP71"]
    frames = {n: [plate(100 + 9 * n, 300, texts[n % 5], noise=1.5, seed=n)] for n in range(1, 26)}
    (track,) = run(frames)
    assert track.text.text == "T585XP71"


def test_observations_are_told_their_tracks() -> None:
    tracker = Tracker()
    one, two = plate(100, 100), plate(600, 100)
    first = tracker.update(1, 40, [one, two]).seen
    second = tracker.update(2, 80, [two, one]).seen
    assert [t.track_id for t in first] == [1, 2]
    assert [t.track_id for t in second] == [2, 1]


def test_frames_must_come_in_order() -> None:
    tracker = Tracker()
    tracker.update(5, 200, [])
    with pytest.raises(ValueError, match="frame 5"):
        tracker.update(5, 200, [])


@pytest.mark.parametrize("gap_ms", [40, 600])
def test_a_clock_that_is_set_back_does_not_part_a_passage_that_the_video_tells(
    gap_ms: int,
) -> None:
    tracker = Tracker()
    for n in (1, 2):
        tracker.update(n, 10**9 + 40 * n, [plate(100, 100)], pts_s=0.04 * n)
    before_ms = 0
    for n in (3, 4):
        before_ms = 3_600_000 + 40 * n + gap_ms
        step = tracker.update(n, before_ms, [plate(100, 100)], pts_s=0.04 * n + gap_ms / 1000)
        assert step.gone == []
    (track,) = tracker.end()
    assert track.frames_seen == 4
    assert (track.first_ms, track.last_ms) == (3_600_040, before_ms)  # by the clock as it is now


def test_a_track_whose_plate_is_gone_ends_also_where_the_clock_is_set_back() -> None:
    tracker = Tracker()
    for n in (1, 2):
        tracker.update(n, 10**9 + 40 * n, [plate(100, 100)], pts_s=0.04 * n)
    assert len(tracker.update(3, 120, [], pts_s=60.0).gone) == 1


@pytest.mark.parametrize("pts_s", [None, 0.01])
def test_a_clock_that_is_set_back_begins_anew_where_the_video_does_not_tell_the_time(
    pts_s: float | None,
) -> None:
    tracker = Tracker()
    for n in (1, 2):
        tracker.update(n, 10**9 + 40 * n, [plate(100, 100)], pts_s=0.04 * n)
    assert len(tracker.update(3, 120, [plate(100, 100)], pts_s=pts_s).gone) == 1


def test_a_clock_that_is_set_back_begins_anew() -> None:
    tracker = Tracker()
    for n in (1, 2):
        tracker.update(n, 10**9 + 40 * n, [plate(100, 100)])
    assert len(tracker.update(3, 120, [plate(100, 100)]).gone) == 1
    assert tracker.update(4, 160, [plate(100, 100)]).gone == []
    (track,) = tracker.end()
    assert (track.first_ms, track.last_ms) == (120, 160)


def test_tracks_are_bounded() -> None:
    tracker = Tracker(TrackSettings(gone_after_ms=10**9, least_readings=1))
    crowd = [plate(100 * (i % 16), 100 * (i // 16), width=40) for i in range(MOST_TRACKS)]
    tracker.update(1, 40, crowd)
    step = tracker.update(2, 80, [plate(9000, 9000), plate(-5000, 9000)])
    assert len(tracker.tracks) == MOST_TRACKS
    assert len(step.gone) == 2
    with pytest.raises(ValueError, match="257 observations"):
        tracker.update(3, 120, [*crowd, crowd[0]])
