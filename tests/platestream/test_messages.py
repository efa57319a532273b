"""Messages: what travels arrives as it was, and nothing else gets in."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platestream import messages
from platestream.errors import MessageError
from platestream.messages import (
    Character,
    End,
    Frame,
    Passage,
    Pixels,
    Plate,
    Reading,
    RenderedFrame,
    Tracks,
    TrackState,
    entries,
)

PLATE = Plate(
    corners=((1.5, 2.0), (90.0, 3.0), (91.0, 22.0), (2.0, 21.0)),
    score=0.9,
    text="A301PO174",
    confidence=0.8,
    characters=tuple(Character(char=c, confidence=0.8) for c in "A301PO174"),
    accepted=True,
    raw="A301P0174",
    format="ru-1",
)
FRAME = Frame(
    frame_id=7,
    captured_at_ms=1_700_000_000_123,
    pts_s=0.2,
    width=4,
    height=2,
    published_at_ms=1_700_000_000_130,
    rate="30000/1001",
    mode="live",
    pixels=Pixels(codec="raw", data=bytes(24)),
)


def wire(fields: dict[str, str | bytes]) -> dict[bytes, bytes]:
    """Fields as Redis gives them back."""
    return {k.encode(): v if isinstance(v, bytes) else v.encode() for k, v in fields.items()}


def test_a_frame_arrives_as_it_was() -> None:
    assert messages.parse_frame(wire(messages.frame_fields(FRAME))) == FRAME


def test_an_entry_of_before_it_said_when_it_was_published_is_read() -> None:
    old = FRAME.model_copy(update={"published_at_ms": None})
    fields = messages.frame_fields(old)
    assert "published_at_ms" not in fields
    assert messages.parse_frame(wire(fields)) == old


def test_a_rendered_frame_keeps_its_reading() -> None:
    rendered = RenderedFrame(
        **FRAME.model_dump(),
        reading_frame_id=5,
        overlay_age_ms=67,
        rendered_at_ms=1_700_000_000_140,
        plates=(PLATE,),
    )
    fields = messages.frame_fields(rendered)
    assert fields["text"] == "A301PO174"
    assert messages.parse_rendered(wire(fields)) == rendered


def test_a_reading_is_legible_without_its_body() -> None:
    reading = Reading(frame_id=7, captured_at_ms=5, replica="ocr-1", plates=(PLATE,))
    fields = messages.reading_fields(reading)
    assert (fields["frame_id"], fields["text"], fields["confidence"]) == (
        "7",
        "A301PO174",
        "0.8000",
    )
    assert messages.parse_reading(wire(fields)) == reading


def test_a_readings_and_its_tracks_time_in_the_video_travel_and_may_be_missing() -> None:
    reading = Reading(frame_id=7, captured_at_ms=5, pts_s=2**33 / 90_000)
    fields = messages.reading_fields(reading)
    assert fields["pts_s"] == "95443.717689"
    assert messages.parse_reading(wire(fields)).pts_s == pytest.approx(reading.pts_s, abs=1e-6)
    tracks = messages.parse_tracks(
        wire(messages.tracks_fields(Tracks(frame_id=7, captured_at_ms=5, pts_s=0.25)))
    )
    assert isinstance(tracks, Tracks)
    assert tracks.pts_s == 0.25
    old = Reading(frame_id=7, captured_at_ms=5)
    assert "pts_s" not in messages.reading_fields(old)
    assert messages.parse_reading(wire(messages.reading_fields(old))) == old


def test_a_reading_says_whether_all_was_looked_at() -> None:
    for whole in (True, False):
        reading = Reading(frame_id=7, captured_at_ms=5, whole=whole)
        assert messages.parse_reading(wire(messages.reading_fields(reading))) == reading
    old = wire(messages.reading_fields(reading))
    del old[b"whole"]  # as it was before there was this field
    assert messages.parse_reading(old).whole


@pytest.mark.parametrize("pts_s", [b"-0.04", b"nan", b"inf", b"1e9", b"soon"])
def test_a_time_that_no_video_has_is_refused(pts_s: bytes) -> None:
    reading = wire(messages.reading_fields(Reading(frame_id=7, captured_at_ms=5)))
    tracks = wire(messages.tracks_fields(Tracks(frame_id=7, captured_at_ms=5)))
    frame = wire(messages.frame_fields(FRAME))
    for parse, fields in (
        (messages.parse_reading, reading),
        (messages.parse_tracks, tracks),
        (messages.parse_frame, frame),
    ):
        with pytest.raises(MessageError, match="pts_s"):
            parse({**fields, b"pts_s": pts_s})


def test_probabilities_travel_with_a_reading_but_not_with_a_picture() -> None:
    plate = PLATE.model_copy(update={"probabilities": bytes(range(256))})
    reading = Reading(frame_id=7, captured_at_ms=5, plates=(plate,))
    assert messages.parse_reading(wire(messages.reading_fields(reading))) == reading
    rendered = RenderedFrame(**FRAME.model_dump(), plates=(plate,))
    back = messages.parse_rendered(wire(messages.frame_fields(rendered)))
    assert isinstance(back, RenderedFrame)
    assert back.plates == (PLATE,)


@pytest.mark.parametrize(
    "change", [{"probabilities": bytes(2**17 + 1)}, {"format": "x" * 33}, {"raw": "A" * 33}]
)
def test_a_plate_with_too_much_is_refused(change: dict[str, object]) -> None:
    body = msgpack.packb({"plates": [{**PLATE.model_dump(), **change}]})
    reading = Reading(frame_id=7, captured_at_ms=5, plates=(PLATE,))
    with pytest.raises(MessageError, match=next(iter(change))):
        messages.parse_reading(wire(messages.reading_fields(reading)) | {b"body": body})


def test_an_older_reading_without_the_newer_fields_is_read() -> None:
    old = PLATE.model_dump(exclude={"raw", "format", "probabilities"})
    reading = Reading(frame_id=7, captured_at_ms=5, plates=(PLATE,))
    fields = wire(messages.reading_fields(reading)) | {b"body": msgpack.packb({"plates": [old]})}
    (plate,) = messages.parse_reading(fields).plates
    assert (plate.text, plate.raw, plate.format, plate.probabilities) == ("A301PO174", "", "", b"")


def test_a_reading_carries_what_a_text_is_fused_from() -> None:
    plate = PLATE.model_copy(
        update={
            "probabilities": b"matrix",
            "candidates": (("A301PO174", -0.1), ("A301PO171", -2.5)),
            "crop": b"jpeg",
        }
    )
    reading = Reading(frame_id=7, captured_at_ms=5, alphabet="0123ABC", plates=(plate,))
    assert messages.parse_reading(wire(messages.reading_fields(reading))) == reading
    rendered = RenderedFrame(**FRAME.model_dump(), plates=(plate,))
    (drawn,) = messages.parse_rendered(wire(messages.frame_fields(rendered))).plates  # type: ignore[union-attr]
    assert (drawn.probabilities, drawn.candidates, drawn.crop) == (b"", (), b"")


def test_a_crop_that_is_too_large_is_refused() -> None:
    plate = PLATE.model_copy(update={"crop": bytes(messages.MAX_CROP_BYTES + 1)})
    reading = Reading(frame_id=7, captured_at_ms=5, plates=()).model_copy(
        update={"plates": (plate,)}
    )
    with pytest.raises(MessageError, match="crop"):
        messages.parse_reading(wire(messages.reading_fields(reading)))


TRACK = TrackState(
    track_id=3,
    corners=PLATE.corners,
    velocity=(120.5, -3.0),
    text="A301PO174",
    confidence=0.97,
    format="ru-1",
    accepted=True,
    first_frame_id=2,
    last_frame_id=7,
    frames_seen=6,
)
PASSAGE = Passage(
    passage_id=4,
    track_id=3,
    text="A301PO174",
    confidence=0.97,
    format="ru-1",
    accepted=True,
    first_frame_id=2,
    last_frame_id=7,
    first_captured_at_ms=80,
    last_captured_at_ms=280,
    frames_seen=6,
    readings=5,
    crop=b"jpeg",
    crop_frame_id=6,
)


def test_tracks_arrive_as_they_were() -> None:
    tracks = Tracks(frame_id=7, captured_at_ms=280, tracks=(TRACK,))
    fields = messages.tracks_fields(tracks)
    assert fields["text"] == "A301PO174"
    assert messages.parse_tracks(wire(fields)) == tracks


def test_a_passage_is_legible_and_arrives_as_it_was() -> None:
    fields = messages.passage_fields(PASSAGE)
    assert (fields["text"], fields["confidence"], fields["accepted"]) == ("A301PO174", "0.97", "1")
    assert messages.parse_passage(wire(fields)) == PASSAGE
    bare = PASSAGE.model_copy(update={"crop": b"", "crop_frame_id": None})
    assert messages.parse_passage(wire(messages.passage_fields(bare))) == bare


def test_an_end_is_told_from_a_frame() -> None:
    end = End(frame_id=99, frames=99, reason="end of file")
    assert messages.parse_frame(wire(messages.end_fields(end))) == end
    assert messages.parse_rendered(wire(messages.end_fields(end))) == end
    assert messages.parse_tracks(wire(messages.end_fields(end))) == end
    assert messages.parse_passage(wire(messages.end_fields(end))) == end


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({b"width": b"0"}, "width"),
        ({b"width": b"99999"}, "width"),
        ({b"width": b"16384", b"height": b"16384"}, "limit"),
        ({b"frame_id": b"x"}, "frame_id"),
        ({b"pts_s": b"-1"}, "pts_s"),
        ({b"rate": b"0/1"}, "rate"),
        ({b"mode": b"other"}, "mode"),
        ({b"body": b"\xc1"}, "msgpack"),
        ({b"body": msgpack.packb([1])}, "map"),
        ({b"body": msgpack.packb({})}, "pixels"),
        ({b"reason": b"x" * 5000}, "too long"),
    ],
)
def test_a_bad_frame_is_refused_by_name(change: dict[bytes, bytes], named: str) -> None:
    with pytest.raises(MessageError, match=named):
        messages.parse_frame(wire(messages.frame_fields(FRAME)) | change)


def test_a_frame_without_a_body_is_refused() -> None:
    fields = wire(messages.frame_fields(FRAME))
    del fields[b"body"]
    with pytest.raises(MessageError, match="body"):
        messages.parse_frame(fields)


def test_a_body_that_is_too_large_is_refused_before_it_is_unpacked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fields = wire(messages.frame_fields(FRAME))
    monkeypatch.setattr(entries, "MAX_BODY_BYTES", 10)
    monkeypatch.setattr(msgpack, "unpackb", lambda *a, **k: pytest.fail("unpacked"))
    with pytest.raises(MessageError, match="limit is 10"):
        messages.parse_frame(fields)


@given(st.dictionaries(st.binary(max_size=20), st.binary(max_size=60), max_size=6))
def test_noise_is_refused_and_never_crashes(fields: dict[bytes, bytes]) -> None:
    for parse in (
        messages.parse_frame,
        messages.parse_rendered,
        messages.parse_reading,
        messages.parse_tracks,
        messages.parse_passage,
    ):
        with pytest.raises(MessageError):
            parse(fields)
