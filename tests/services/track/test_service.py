"""The track service between its streams: order, duplicates, ends, restarts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import redis

from platestream import messages, streams
from platestream.embedded_redis import EmbeddedRedis
from platestream.messages import End, Passage, Plate, Reading, Tracks
from platestream.plate_messages import to_observation
from platestream.runtime import Session
from platestream.settings import Settings
from platestream.vision.probabilities import pack
from services.track import service
from tests import preloaded
from tests.conftest import wait_until
from tests.platestream.vision.test_fusion import ALPHABET, noisy, read

CAMERA = "gate-1"
FRAMES = streams.frames_key(CAMERA)


def plate(x: float, y: float, text: str, seed: int = 0, crop: bytes = b"a picture") -> Plate:
    matrix = noisy(text, np.random.default_rng(seed), 1.5)
    said = read(matrix)
    return Plate(
        corners=((x - 40, y - 9), (x + 40, y - 9), (x + 40, y + 9), (x - 40, y + 9)),
        score=0.9,
        text=said.text,
        confidence=said.confidence,
        characters=tuple({"char": c.char, "confidence": c.confidence} for c in said.characters),
        accepted=said.accepted,
        raw=said.raw,
        format=said.format or "",
        probabilities=pack(matrix),
        candidates=said.candidates,
        crop=crop,
    )


def reading(frame_id: int, *plates: Plate) -> Reading:
    return Reading(
        frame_id=frame_id, captured_at_ms=1000 + 40 * frame_id, alphabet=ALPHABET, plates=plates
    )


def street(frame_id: int) -> Reading:
    """Three cars, one after the other and side by side."""
    shown = []
    for first, last, y, text in (
        (1, 30, 300, "A301PO174"),
        (20, 60, 500, "M807MA71"),
        (70, 100, 300, "T631TA71"),
    ):
        if first <= frame_id <= last:
            shown.append(plate(100 + 8 * (frame_id - first), y, text, seed=frame_id))
    return reading(frame_id, *shown)


def begin(client: redis.Redis, mode: str = "file", first: int = 1) -> None:
    streams.ensure_group(client, FRAMES, streams.OCR)
    streams.register_camera(
        client, CAMERA, mode=mode, ended="0", first_frame_id=str(first), frames="0"
    )


def capture(client: redis.Redis, *frame_ids: int) -> None:
    for frame_id in frame_ids:
        streams.publish_captured(client, CAMERA, frame_id, {"frame_id": str(frame_id)})


def ocr(client: redis.Redis, count: int, name: str = "ocr-1") -> list[streams.Delivery]:
    consumer = streams.GroupConsumer(client, FRAMES, streams.OCR, name)
    return consumer.read(count, None)


def publish(client: redis.Redis, read: Reading, done: bool = True) -> None:
    done_ids = [streams.entry_id(read.frame_id)] if done else []
    streams.publish_readings(client, CAMERA, [messages.reading_fields(read)], done_ids)


def end(client: redis.Redis, last: int) -> None:
    fields = messages.end_fields(End(frame_id=last, frames=last))
    streams.publish(client, FRAMES, streams.end_id(last), fields)
    streams.register_camera(client, CAMERA, ended="1", frames=str(last))
    for delivery in ocr(client, 10):
        client.xack(FRAMES, streams.OCR, delivery.id)


@contextmanager
def running(client: redis.Redis, **track: object) -> Iterator[Session]:
    settings = Settings(camera=CAMERA, track=track)
    session = Session("track", settings, client)
    thread = threading.Thread(target=service.run, args=(session,))
    thread.start()
    try:
        yield session
    finally:
        session.stopping.set()
        thread.join(10)
        assert not thread.is_alive()


def passages(client: redis.Redis) -> list[Passage]:
    entries = client.xrange(streams.passages_key(CAMERA))
    parsed = [messages.parse_passage(fields) for _, fields in entries]
    return [one for one in parsed if isinstance(one, Passage)]


def ends(client: redis.Redis) -> list[int]:
    entries = client.xrange(streams.passages_key(CAMERA))
    parsed = [messages.parse_passage(fields) for _, fields in entries]
    return [one.frame_id for one in parsed if isinstance(one, End)]


def tracks(client: redis.Redis) -> list[Tracks]:
    entries = client.xrange(streams.tracks_key(CAMERA))
    parsed = [messages.parse_tracks(fields) for _, fields in entries]
    return [one for one in parsed if isinstance(one, Tracks)]


def counts(client: redis.Redis) -> dict[str, int]:
    found = streams.read_hash(client, streams.counts_key(CAMERA))
    return {name: int(value) for name, value in found.items()}


def pending(client: redis.Redis) -> int:
    facts = streams.group_facts(client, streams.readings_key(CAMERA))
    return int(facts[streams.TRACK]["pending"])


STREET = [("A301PO174", 1, 30), ("M807MA71", 20, 60), ("T631TA71", 70, 100)]


def as_facts(found: list[Passage]) -> list[tuple[str, int, int]]:
    return sorted(
        ((p.text, p.first_frame_id, p.last_frame_id) for p in found), key=lambda one: one[1]
    )


def test_a_recording_becomes_passages_and_its_end_flows_through(client: redis.Redis) -> None:
    begin(client)
    capture(client, *range(1, 101))
    ocr(client, 100)
    with running(client):
        for frame_id in range(1, 101):
            publish(client, street(frame_id))
        end(client, 100)
        wait_until(lambda: ends(client) == [100], what="the end in passages")
    found = passages(client)
    assert as_facts(found) == STREET
    for one in found:
        assert one.accepted
        assert one.format == "ru-1"
        assert one.confidence > 0.9
        assert one.crop == b"a picture"
        assert one.first_captured_at_ms == 1000 + 40 * one.first_frame_id
        assert one.frames_seen == one.last_frame_id - one.first_frame_id + 1
        assert 1 <= one.readings <= one.frames_seen
    assert [one.frame_id for one in tracks(client)] == list(range(1, 101))
    assert counts(client)["passages"] == 3
    assert pending(client) == 0
    remembered = streams.read_tracker(client, CAMERA)
    assert set(remembered) == {"tracker"}


def test_tracks_tell_how_every_plate_stands(client: redis.Redis) -> None:
    begin(client)
    capture(client, *range(1, 26))
    ocr(client, 25)
    with running(client):
        for frame_id in range(1, 26):
            publish(client, street(frame_id))
        wait_until(lambda: len(tracks(client)) == 25, what="tracks of 25 frames")
    first, second = tracks(client)[-1].tracks
    assert (first.text, first.accepted, first.format) == ("A301PO174", True, "ru-1")
    assert (first.frames_seen, first.first_frame_id, first.last_frame_id) == (25, 1, 25)
    assert first.velocity == pytest.approx((200, 0), abs=20)
    assert second.text == "M807MA71"
    assert second.track_id == first.track_id + 1


def test_replicas_may_finish_out_of_order_and_twice(client: redis.Redis) -> None:
    begin(client)
    capture(client, *range(1, 101))
    ocr(client, 100)
    rng = np.random.default_rng(3)
    frame_ids = sorted(range(1, 101), key=lambda n: n + rng.uniform(0, 12))
    with running(client):
        for number, frame_id in enumerate(frame_ids):
            publish(client, street(frame_id))
            if number % 10 == 0:
                publish(client, street(frame_id), done=False)  # claimed by another, read twice
        end(client, 100)
        wait_until(lambda: ends(client) == [100], what="the end in passages")
    assert as_facts(passages(client)) == STREET
    assert [one.frame_id for one in tracks(client)] == list(range(1, 101))
    assert counts(client)["late_for_track"] == 10


def test_a_frame_that_is_being_read_is_waited_for_and_a_dead_one_is_not(
    client: redis.Redis,
) -> None:
    begin(client)
    capture(client, 1, 2, 3)
    ocr(client, 3)
    with running(client):
        publish(client, street(1))
        publish(client, street(3))
        wait_until(lambda: len(tracks(client)) == 1, what="the first frame")
        wait_until(lambda: pending(client) == 1, what="the third, waiting")
        assert [one.frame_id for one in tracks(client)] == [1]
        streams.publish_dead(
            client,
            CAMERA,
            streams.Delivery("2-0", {b"frame_id": b"2"}, 3),
            "broken",
            most_bytes=2**20,
        )
        wait_until(lambda: [t.frame_id for t in tracks(client)] == [1, 3], what="the third")


def test_live_a_frame_that_a_crashed_replica_holds_does_not_keep_the_others(
    client: redis.Redis,
) -> None:
    begin(client, mode="live")
    capture(client, *range(1, 12))
    ocr(client, 11)
    with running(client, reorder_ms=200):
        for frame_id in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11):
            publish(client, street(frame_id))
        wait_until(lambda: len(tracks(client)) == 10, 5, "readings without the first frame's")
        publish(client, street(1))
        wait_until(lambda: counts(client).get("late_for_track") == 1, what="the first, late")


def test_live_plates_are_gone_when_nothing_comes_any_more(client: redis.Redis) -> None:
    begin(client, mode="live")
    capture(client, *range(1, 12))
    ocr(client, 11)
    with running(client, gone_after_ms=200):
        for frame_id in range(1, 12):
            publish(client, street(frame_id))
        wait_until(lambda: len(passages(client)) == 1, 10, "a passage without a further frame")


def test_a_second_recording_begins_with_new_tracks(client: redis.Redis) -> None:
    begin(client)
    capture(client, *range(1, 11))
    ocr(client, 10)
    with running(client):
        for frame_id in range(1, 11):
            publish(client, street(frame_id))
        wait_until(lambda: len(tracks(client)) == 10, what="ten frames")
        # the first capture was killed: no end; the next one begins at once
        begin(client, first=11)
        capture(client, *range(11, 21))
        ocr(client, 10)
        for frame_id in range(11, 21):
            publish(client, street(frame_id))
        end(client, 20)
        wait_until(lambda: ends(client) == [20], what="the end")
    assert as_facts(passages(client)) == [("A301PO174", 1, 10), ("A301PO174", 11, 20)]


def test_what_is_not_ours_is_refused_and_counted(client: redis.Redis) -> None:
    begin(client)
    capture(client, 1, 2)
    ocr(client, 2)
    broken = street(1).plates[0].model_copy(update={"probabilities": b"rubbish"})
    with running(client):
        client.xadd(streams.readings_key(CAMERA), {"no": "reading"})
        publish(client, reading(1, broken))
        publish(client, street(2))
        wait_until(lambda: len(tracks(client)) == 2, what="two frames")
    assert counts(client)["refused_by_track"] == 2
    assert pending(client) == 0


def test_a_memory_that_is_damaged_is_said_and_given_up(client: redis.Redis) -> None:
    begin(client)
    client.hset(streams.tracker_key(CAMERA), "tracker", b"\xc1")
    client.hset(streams.tracker_key(CAMERA), "track:7", b"rubbish")
    capture(client, 1)
    ocr(client, 1)
    with running(client):
        publish(client, street(1))
        wait_until(lambda: len(tracks(client)) == 1, what="a frame")
    assert "track:7" not in streams.read_tracker(client, CAMERA)


def test_a_tracker_that_is_stopped_and_started_goes_on(client: redis.Redis) -> None:
    begin(client)
    capture(client, *range(1, 101))
    ocr(client, 100)
    for start in range(1, 101, 10):
        with running(client):
            for frame_id in range(start, start + 10):
                publish(client, street(frame_id))
            wait_until(lambda n=start + 9: len(tracks(client)) == n, what="ten more frames")  # type: ignore[misc]
    end(client, 100)
    with running(client):
        wait_until(lambda: ends(client) == [100], what="the end")
    assert as_facts(passages(client)) == STREET
    assert [one.track_id for one in passages(client)] == [1, 2, 3]


@pytest.mark.soak
def test_a_tracker_that_is_killed_loses_no_passage_and_doubles_none(
    server: EmbeddedRedis,
) -> None:
    client = streams.connect(server.url)
    begin(client)
    capture(client, *range(1, 101))
    ocr(client, 100)
    command = [sys.executable, "-m", "services.track", "--camera", CAMERA, "--redis", server.url]
    killed = 0
    frame_id = 0
    process = preloaded.Popen(command, stderr=subprocess.DEVNULL)
    try:
        for until in (15, 33, 58, 77, 100):
            while frame_id < until:
                frame_id += 1
                publish(client, street(frame_id))
            wait_until(lambda n=until - 8: len(tracks(client)) > n, what=f"frame {until - 8}")  # type: ignore[misc]
            if until < 100:  # at work: it has not come to the newest reading yet, or just has
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                killed += 1
                process = preloaded.Popen(command, stderr=subprocess.DEVNULL)
        end(client, 100)
        wait_until(lambda: ends(client) == [100], what="the end")
    finally:
        process.kill()
        process.wait()
    assert killed == 4
    assert as_facts(passages(client)) == STREET
    assert [one.frame_id for one in tracks(client)] == list(range(1, 101))
    assert all(one.crop for one in passages(client))


def test_an_observation_is_what_the_reading_says() -> None:
    seen = to_observation(plate(100, 200, "A301PO174"), ALPHABET)
    assert seen.text.guess == "A301PO174"
    assert seen.width == pytest.approx(80)
    assert seen.text.probabilities is not None
    assert seen.text.candidates[0][0] == "A301PO174"
