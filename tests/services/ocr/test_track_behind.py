"""OCR and a tracker that is late: of a file it is waited for, live what it misses is counted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis

from platestream import streams
from platestream.runtime import Session
from platestream.settings import OcrSettings, Settings
from platestream.streams import PoolConsumer, publishing
from services.ocr.presence import Presence
from services.ocr.replica import Replica
from services.ocr.service import _Pool
from services.track import service as track
from tests.conftest import wait_until
from tests.services.ocr.conftest import capture, frames_read
from tests.services.ocr.replica_process import NumberReader

CAMERA = "a"
KEPT = 50


@pytest.fixture(autouse=True)
def few_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "MOST_READINGS", KEPT)


@contextmanager
def running(session: Session, body: Callable[[Session], None]) -> Iterator[None]:
    thread = threading.Thread(target=body, args=(session,))
    thread.start()
    try:
        yield
    finally:
        session.stopping.set()
        thread.join(20)
        assert not thread.is_alive()


def ocr(client: redis.Redis, name: str, policy: str = "every") -> Session:
    return Session("ocr", Settings(ocr=OcrSettings(name=name, policy=policy)), client)  # type: ignore[arg-type]


def serve(session: Session) -> None:
    name = session.settings.ocr.name
    consumer = PoolConsumer(session.client, name, session.settings.ocr.policy)
    pool = _Pool(session, consumer, Presence(session.client, name))
    pool.work(Replica(session, NumberReader(), name))


def tracked(client: redis.Redis) -> list[int]:
    return [streams.frame_id_of(i) for i, _ in client.xrange(streams.tracks_key(CAMERA))]


def counts(client: redis.Redis) -> dict[str, int]:
    return streams.read_counts(client, CAMERA)


def test_of_a_file_nothing_is_lost_to_a_tracker_that_is_away(real: redis.Redis) -> None:
    capture(real, CAMERA, *range(1, 301))
    capture(real, "b", *range(1, 201))
    streams.ensure_group(real, streams.readings_key(CAMERA), streams.TRACK)
    with running(ocr(real, "one"), serve), running(ocr(real, "two"), serve):
        wait_until(lambda: len(frames_read(real, CAMERA)) > KEPT, 30, "a full stream")
        # another camera, of which nobody follows plates, is read to its end meanwhile
        wait_until(lambda: counts_of(real, "b") == 200, 30, "the other camera")
        assert len(frames_read(real, CAMERA)) < KEPT + 20  # and what two replicas had under way
        with running(Session("track", Settings(camera=CAMERA), real), track.run):
            wait_until(lambda: len(tracked(real)) == 300, 30, "all tracks")
    assert tracked(real) == list(range(1, 301))
    assert counts(real)["readings"] == 300
    assert "trimmed_before_track" not in counts(real)
    assert "late_for_track" not in counts(real)
    assert "claimed_by_ocr" not in counts(real)


def counts_of(client: redis.Redis, camera: str) -> int:
    return streams.read_counts(client, camera).get("readings", 0)


@pytest.mark.parametrize(("mode", "there"), [("live", True), ("live", False), ("file", False)])
def test_what_a_late_tracker_misses_is_counted(real: redis.Redis, mode: str, there: bool) -> None:
    """Live; and of a file for which there has never been a tracker: nobody knows of one."""
    if there:
        streams.ensure_group(real, streams.readings_key(CAMERA), streams.TRACK)
    capture(real, CAMERA, *range(1, 301), mode=mode)
    with running(ocr(real, "one"), serve):
        wait_until(lambda: counts(real).get("readings") == 300, 30, "all readings")
        with running(Session("track", Settings(camera=CAMERA), real), track.run):
            wait_until(lambda: tracked(real)[-1:] == [300], 30, "the last tracks")
    lost = counts(real)["trimmed_before_track"]
    assert 300 - KEPT - 20 < lost <= 300 - KEPT
    assert tracked(real) == list(range(lost + 1, 301))
    assert "late_for_track" not in counts(real)
