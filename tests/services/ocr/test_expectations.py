"""Where a replica looks on a frame: everywhere now and then, else where plates should be."""

from __future__ import annotations

import pytest
import redis

from platestream import messages, streams
from platestream.messages import Frame, Pixels, Plate, Reading, Tracks, TrackState
from services.ocr.expectations import KNOWN_FOR_MS, Expectations

LONG_MS = 600_000
SLOW_S = 600.0  # a look, so that the pause after it is as long as it may be
PERIOD_MS = 40


def frame(frame_id: int, mode: str = "live") -> Frame:
    return Frame(
        frame_id=frame_id,
        captured_at_ms=PERIOD_MS * frame_id,
        pts_s=PERIOD_MS / 1000 * frame_id,
        width=1280,
        height=720,
        mode=mode,  # type: ignore[arg-type]
        pixels=Pixels(codec="raw", data=b""),
    )


def corners(x: float, y: float = 100.0) -> messages.Corners:
    return ((x, y), (x + 80, y), (x + 80, y + 18), (x, y + 18))


def reading(frame_id: int, *xs: float, whole: bool = True) -> Reading:
    return Reading(
        frame_id=frame_id,
        captured_at_ms=PERIOD_MS * frame_id,
        pts_s=PERIOD_MS / 1000 * frame_id,
        whole=whole,
        plates=tuple(Plate(corners=corners(x), score=0.9, text="", confidence=0.5) for x in xs),
    )


def follow(
    client: redis.Redis, frame_id: int, *xs: float, speed: float = 0.0, seen_on: int = 0
) -> None:
    """Publishes tracks as `track` does after a frame; ``seen_on``: the frame they were seen on."""
    states = tuple(
        TrackState(
            track_id=number + 1,
            corners=corners(x),
            velocity=(speed, 0.0),
            text="",
            confidence=0.0,
            first_frame_id=1,
            last_frame_id=seen_on or frame_id,
            frames_seen=2,
        )
        for number, x in enumerate(xs)
    )
    tracks = Tracks(
        frame_id=frame_id,
        captured_at_ms=PERIOD_MS * frame_id,
        pts_s=PERIOD_MS / 1000 * frame_id,
        tracks=states,
    )
    client.xadd(streams.tracks_key("a"), messages.tracks_fields(tracks), id=f"{frame_id}-0")  # type: ignore[arg-type]


def lefts(places: list[list[tuple[float, float, float, float]] | None]) -> list[int] | None:
    (one,) = places
    return None if one is None else sorted(round(box[0]) for box in one)


def test_between_looks_at_the_whole_it_looks_where_plates_were(client: redis.Redis) -> None:
    expected = Expectations(client, LONG_MS, "auto")
    assert expected.places([("a", frame(1))]) == [None]
    expected.looked("a", reading(1, 300.0, 900.0), SLOW_S)
    assert lefts(expected.places([("a", frame(2))])) == [300, 900]
    assert expected.places([("b", frame(2))]) == [None]  # another camera is looked at first


def test_a_look_at_the_whole_comes_again(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 50.0
    monkeypatch.setattr("services.ocr.expectations.time.monotonic", lambda: now)
    expected = Expectations(client, 300, "auto")
    expected.looked("a", reading(1, 300.0), SLOW_S)
    now += 0.2
    assert lefts(expected.places([("a", frame(2))])) == [300]
    expected.looked("a", reading(2, 300.0, whole=False), SLOW_S)  # which does not put it off
    now += 0.2
    assert expected.places([("a", frame(3))]) == [None]


def test_where_a_look_is_quick_all_are_at_the_whole(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 50.0
    monkeypatch.setattr("services.ocr.expectations.time.monotonic", lambda: now)
    expected = Expectations(client, LONG_MS, "auto")
    expected.looked("a", reading(1, 300.0), 0.01)
    now += 0.035
    assert lefts(expected.places([("a", frame(2))])) == [300]
    now += 0.035
    assert expected.places([("a", frame(2))]) == [None]


@pytest.mark.parametrize(
    ("policy", "mode", "pause_ms", "whole"),
    [
        ("auto", "live", LONG_MS, False),
        ("auto", "file", LONG_MS, True),
        ("newest", "file", LONG_MS, False),
        ("every", "live", LONG_MS, True),
        ("newest", "live", 0, True),
    ],
)
def test_what_may_not_be_left_out_is_looked_at_as_a_whole(
    client: redis.Redis, policy: streams.Policy, mode: str, pause_ms: int, whole: bool
) -> None:
    expected = Expectations(client, pause_ms, policy)
    expected.looked("a", reading(1, 300.0), SLOW_S)
    assert (expected.places([("a", frame(2, mode))]) == [None]) is whole


def test_places_move_with_the_tracks(client: redis.Redis) -> None:
    expected = Expectations(client, LONG_MS, "auto")
    expected.looked("a", reading(10, 300.0), SLOW_S)
    follow(client, 10, 300.0, speed=500.0)
    assert lefts(expected.places([("a", frame(15))])) == [300 + 5 * PERIOD_MS // 2]


def test_what_other_replicas_saw_is_expected_too(client: redis.Redis) -> None:
    expected = Expectations(client, LONG_MS, "auto")
    expected.looked("a", reading(10, 300.0), SLOW_S)
    follow(client, 12, 302.0, 700.0)
    assert lefts(expected.places([("a", frame(13))])) == [300, 700]


@pytest.mark.parametrize(
    ("tracks_of", "seen_on"),
    [(5, 5), (60, 60), (29, 28)],
    ids=["long before", "long after", "not seen any more"],
)
def test_tracks_that_say_nothing_of_now_are_left_out(
    client: redis.Redis, tracks_of: int, seen_on: int
) -> None:
    expected = Expectations(client, LONG_MS, "auto")
    expected.looked("a", reading(29, 300.0), SLOW_S)
    follow(client, tracks_of, 700.0, seen_on=seen_on)
    assert lefts(expected.places([("a", frame(30))])) == [300]


def test_where_nothing_is_expected_the_whole_is_looked_at(client: redis.Redis) -> None:
    expected = Expectations(client, LONG_MS, "auto")
    expected.looked("a", reading(1), SLOW_S)
    assert expected.places([("a", frame(2))]) == [None]
    expected.looked("a", reading(3, 300.0), SLOW_S)
    long_after = 3 + KNOWN_FOR_MS // PERIOD_MS + 2
    assert expected.places([("a", frame(long_after))]) == [None]


def test_places_outside_the_picture_are_none(client: redis.Redis) -> None:
    expected = Expectations(client, LONG_MS, "auto")
    expected.looked("a", reading(1, 300.0, 2000.0, -500.0), SLOW_S)
    assert lefts(expected.places([("a", frame(2))])) == [300]


def test_with_many_plates_the_whole_is_as_soon_looked_at(client: redis.Redis) -> None:
    expected = Expectations(client, LONG_MS, "auto")
    expected.looked("a", reading(1, *(100.0 * i for i in range(8))), SLOW_S)
    assert len(expected.places([("a", frame(2))])[0] or ()) == 8
    expected.looked("a", reading(3, *(100.0 * i for i in range(9))), SLOW_S)
    assert expected.places([("a", frame(4))]) == [None]


@pytest.mark.parametrize(
    "fields", [{"body": b"\xff"}, {"end": "1", "frame_id": "2", "frames": "2"}]
)
def test_tracks_that_are_none_are_passed_over(
    client: redis.Redis, fields: dict[str, str | bytes]
) -> None:
    expected = Expectations(client, LONG_MS, "auto")
    expected.looked("a", reading(1, 300.0), SLOW_S)
    client.xadd(streams.tracks_key("a"), fields)  # type: ignore[arg-type]
    assert lefts(expected.places([("a", frame(2))])) == [300]


def test_a_camera_that_is_gone_is_forgotten(client: redis.Redis) -> None:
    expected = Expectations(client, LONG_MS, "auto")
    expected.looked("a", reading(1, 300.0), SLOW_S)
    expected.forget(["a", "never known"])
    assert expected.places([("a", frame(2))]) == [None]
