"""What visualize is handed, what it never gets, and what it passes over: all of it counted."""

from __future__ import annotations

import pytest
import redis

from platestream import messages, streams
from platestream.messages import End
from platestream.runtime import Session
from platestream.settings import Settings
from platestream.streams import Delivery
from services.visualize.intake import Intake

CAMERA = "gate-1"
KEY = streams.frames_key(CAMERA)


def begin(client: redis.Redis, mode: str, first: int) -> None:
    streams.ensure_group(client, KEY, streams.VISUALIZE)
    streams.register_camera(client, CAMERA, mode=mode, first_frame_id=str(first))


def capture(
    client: redis.Redis,
    ids: range,
    mode: str = "live",
    *,
    kept: int = 10**6,
    began_ms: int | None = None,
) -> None:
    for frame_id in ids:
        oldest = streams.entry_id(max(0, frame_id + 1 - kept))
        fields = {"mode": mode}
        if began_ms is not None:
            fields["captured_at_ms"] = str(began_ms + 40 * frame_id)
        streams.publish_captured(client, CAMERA, frame_id, fields, oldest_kept=oldest)


def end(client: redis.Redis, last: int) -> None:
    fields = messages.end_fields(End(frame_id=last, frames=last))
    streams.publish(client, KEY, streams.end_id(last), fields)


@pytest.fixture
def session(client: redis.Redis) -> Session:
    return Session("visualize", Settings(camera=CAMERA), client)


def joined(session: Session, intake: Intake | None = None) -> Intake:
    intake = intake or Intake()
    intake.join(session)
    return intake


def take_all(session: Session, intake: Intake) -> list[Delivery]:
    """Everything that is there, acknowledged."""
    taken = intake.left()
    while streams.last_handed_out(session.client, KEY, streams.VISUALIZE) < streams.last_frame_id(
        session.client, CAMERA
    ):
        taken += intake.take()
    intake.done([one.id for one in taken])
    return taken


def counts(session: Session) -> dict[str, int]:
    return streams.read_counts(session.client, CAMERA)


def test_what_was_trimmed_while_it_stood_still_is_counted(session: Session) -> None:
    begin(session.client, "live", 1)
    intake = joined(session)
    capture(session.client, range(1, 101))
    first = len(take_all(session, intake))
    capture(session.client, range(101, 601), kept=128)
    second = take_all(session, intake)
    # 12 of them to show; what was skipped was read, so that a batch is read to its end
    assert [one.frame_id for one in second] == list(range(589, 601))
    assert counts(session) == {
        "frames_in": 600,
        "trimmed_before_visualize": 372,
        "skipped_by_visualize": 600 - 372 - 12 - first,
    }


def test_one_that_was_killed_meanwhile_counts_the_same(session: Session) -> None:
    """The dead one held three frames, of which two are trimmed; and it was not there at first."""
    client = session.client
    begin(client, "live", 1)
    capture(client, range(1, 41), kept=20)
    first = take_all(session, joined(session))
    capture(client, range(41, 44))
    joined(session).take()  # and is killed
    capture(client, range(44, 63), kept=20)
    last = take_all(session, joined(session))
    assert [one.id for one in last if one.fields is None] == ["41-0", "42-0"]
    found = counts(session)
    assert found["trimmed_before_visualize"] == 20
    assert len(first) + len(last) + 20 + found["skipped_by_visualize"] == found["frames_in"] == 62


def test_one_that_comes_late_counts_from_the_first_frame_of_a_camera_that_was_forgotten(
    session: Session,
) -> None:
    client = session.client
    begin(client, "live", 1)
    capture(client, range(1, 51))
    streams.forget_camera(client, CAMERA)
    begin(client, "live", 51)
    capture(client, range(51, 71), kept=8)
    assert len(take_all(session, joined(session))) == 8
    assert counts(session) == {"frames_in": 20, "trimmed_before_visualize": 12}


def test_a_redis_that_has_lost_its_last_moments_has_lost_no_frame_that_was_drawn(
    session: Session,
) -> None:
    """Frame ids of a live camera go on; Redis knows nothing of frames 8 to 10, as does capture."""
    client = session.client
    begin(client, "live", 1)
    intake = joined(session)
    capture(client, range(1, 11))
    take_all(session, intake)
    client.delete(KEY, streams.counts_key(CAMERA))
    streams.ensure_group(client, KEY, streams.VISUALIZE)
    capture(client, range(1, 8))
    capture(client, range(11, 14))
    take_all(session, joined(session, intake))
    assert "trimmed_before_visualize" not in counts(session)


@pytest.mark.parametrize("known", [0, 20], ids=["empty", "of a while ago"])
def test_what_is_trimmed_counts_also_where_ids_begin_again(session: Session, known: int) -> None:
    """Redis came back so, and capture was started again."""
    client = session.client
    begin(client, "live", 1)
    intake = joined(session)
    capture(client, range(1, 101), began_ms=1_000)
    take_all(session, intake)
    client.flushall()
    begin(client, "live", 1)
    capture(client, range(1, known + 1), began_ms=1_000)
    joined(session, intake)
    capture(client, range(known + 1, known + 5), began_ms=90_000)
    assert [one.frame_id for one in take_all(session, intake)][-4:] == list(
        range(known + 1, known + 5)
    )
    capture(client, range(known + 5, known + 45), kept=8, began_ms=90_000)
    assert len(take_all(session, intake)) == 8
    assert counts(session)["trimmed_before_visualize"] == 32


def test_skipping_never_takes_the_end_of_an_earlier_recording(session: Session) -> None:
    client = session.client
    begin(client, "live", 1)
    capture(client, range(1, 101))
    end(client, 100)
    begin(client, "live", 101)
    capture(client, range(101, 131))
    taken = take_all(session, joined(session))
    assert [one.id for one in taken] == ["100-1", *(f"{n}-0" for n in range(119, 131))]
    assert counts(session) == {"frames_in": 130, "skipped_by_visualize": 118}


@pytest.mark.parametrize(("earlier", "later"), [("live", "file"), ("file", "live")])
def test_nothing_of_a_file_is_skipped(session: Session, earlier: str, later: str) -> None:
    """Whatever was before it, or came after it, on the same camera."""
    client = session.client
    begin(client, earlier, 1)
    capture(client, range(1, 29), earlier)
    end(client, 28)
    begin(client, later, 29)
    capture(client, range(29, 57), later)
    taken = [one.id for one in take_all(session, joined(session))]
    of_file = range(29, 57) if later == "file" else range(1, 29)
    assert [f"{n}-0" for n in of_file] == [one for one in taken if int(one[:-2]) in of_file][:28]
    assert "28-1" in taken
    skipped = {"skipped_by_visualize": 16} if later == "live" else {}
    assert counts(session) == {"frames_in": 56, **skipped}
