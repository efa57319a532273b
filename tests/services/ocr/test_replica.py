"""A replica's batch: cameras mixed, bad entries among good ones, late and repeated frames."""

from __future__ import annotations

import msgpack
import numpy as np
import pytest
import redis

from platestream import messages, pixels, streams
from platestream.errors import ReplicaError
from platestream.messages import Frame
from platestream.runtime import Session
from platestream.settings import OcrSettings, Settings
from platestream.streams import PoolConsumer
from platestream.vision.decoding import PlateText
from platestream.vision.detector import Detection
from platestream.vision.reader import ReadPlate
from services.ocr.replica import Replica
from tests.numbered import number_of
from tests.services.ocr.conftest import (
    HEIGHT,
    WIDTH,
    capture,
    counted,
    frame_fields,
    frames_read,
    held,
)
from tests.services.ocr.replica_process import NumberReader


class CountingReader(NumberReader):
    """Notes the numbers of the pictures of every batch."""

    def __init__(self, **how: object) -> None:
        super().__init__(**how)  # type: ignore[arg-type]
        self.batches: list[list[int]] = []
        self.near: list[object] = []

    def read(self, images, near):  # type: ignore[no-untyped-def]
        self.batches.append([number_of(image) for image in images])
        self.near += near
        return super().read(images, near)


def consumer(client: redis.Redis, *cameras: str, name: str = "a") -> PoolConsumer:
    made = PoolConsumer(client, name)
    made.serve(cameras)
    return made


def replica(client: redis.Redis, reader: NumberReader, settings: Settings | None = None) -> Replica:
    return Replica(Session("ocr", settings or Settings(), client), reader, "a")


def errors(client: redis.Redis, camera: str) -> dict[int, str]:
    return {dead.frame_id: dead.error for dead in streams.list_dead(client, camera)}


def test_frames_of_several_cameras_are_read_at_once(client: redis.Redis) -> None:
    capture(client, "a", 1, 2)
    capture(client, "b", 11)
    reader = CountingReader()
    replica(client, reader).handle(consumer(client, "a", "b").take(4, 1))
    assert [sorted(batch) for batch in reader.batches] == [[1, 2, 11]]
    assert frames_read(client, "a") == [1, 2]
    assert frames_read(client, "b") == [11]
    assert held(client, "a", "a") == held(client, "b", "a") == []


class PlateAt(CountingReader):
    """Finds a plate of 40 px in every picture."""

    BOX = (20, 10, 60, 20)

    def read(self, images, near):  # type: ignore[no-untyped-def]
        super().read(images, near)
        x1, y1, x2, y2 = self.BOX
        corners = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float32)
        text = PlateText("", 0.9, (), False)
        crop = np.zeros((16, 64, 3), np.uint8)
        return [[ReadPlate(Detection(corners, 0.9), text, crop)] for _ in images]


@pytest.mark.parametrize(("mode", "looks"), [("live", ["1", "0", "0"]), ("file", ["1", "1", "1"])])
def test_a_live_frame_is_looked_at_where_plates_were(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch, mode: str, looks: list[str]
) -> None:
    monkeypatch.setattr("services.ocr.expectations._PAUSE", 1e9)  # as if a look took very long
    reader = PlateAt()
    one = replica(client, reader, Settings(ocr=OcrSettings(whole_look_ms=600_000)))
    pool = None
    for frame_id in (1, 2, 3):
        capture(client, "a", frame_id, mode=mode)
        pool = pool or consumer(client, "a")
        one.handle(pool.take(1, 1))
    said = [fields[b"whole"].decode() for _, fields in client.xrange(streams.readings_key("a"))]
    assert said == looks
    assert counted(client, "a", "read_in_part") == looks.count("0")
    assert [None if n is None else [tuple(b) for b in n] for n in reader.near] == [  # type: ignore[attr-defined]
        None if look == "1" else [PlateAt.BOX] for look in looks
    ]
    one.forget(["a"])
    capture(client, "a", 4, mode=mode)
    assert pool is not None
    one.handle(pool.take(1, 1))
    assert reader.near[-1] is None


def test_a_redis_that_is_away_is_not_laid_to_the_picture(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.ocr.expectations._PAUSE", 1e9)
    one = replica(client, PlateAt(), Settings(ocr=OcrSettings(whole_look_ms=600_000)))
    capture(client, "a", 1, mode="live")
    pool = consumer(client, "a")
    one.handle(pool.take(1, 1))
    capture(client, "a", 2, mode="live")
    taken = pool.take(1, 1)
    monkeypatch.setattr(streams, "newest_tracks", _away)
    with pytest.raises(redis.ConnectionError):
        one.handle(taken)
    assert (errors(client, "a"), held(client, "a", "a")) == ({}, [2])


def _away(*_: object) -> None:
    raise redis.ConnectionError("gone")


def test_a_trimmed_frame_that_an_outage_leaves_unacknowledged_is_counted_once(
    real: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = replica(real, CountingReader())
    capture(real, "a", 2)
    pool = consumer(real, "a")
    pool.take(2, 1)
    real.xtrim(streams.frames_key("a"), maxlen=0, approximate=False)
    for _ in range(2):
        held_still = list(pool.own_pending(["a"]))
        with monkeypatch.context() as outage:
            outage.setattr(real, "xack", _away)
            with pytest.raises(redis.ConnectionError):
                one.handle(held_still)
    one.handle(list(pool.own_pending(["a"])))
    assert (counted(real, "a", "trimmed_before_ocr"), held(real, "a", "a")) == (1, [])


def test_cameras_of_different_sizes_are_read_at_once(client: redis.Redis) -> None:
    capture(client, "a", 1)
    streams.ensure_group(client, streams.frames_key("b"), streams.OCR)
    picture = np.full((200, 333, 3), 7, np.uint8)
    frame = Frame(
        frame_id=1, captured_at_ms=1, pts_s=0, width=333, height=200,
        pixels=pixels.pack(picture, "raw"),
    )  # fmt: skip
    fields = messages.frame_fields(frame)
    streams.publish(client, streams.frames_key("b"), "1-0", fields)
    replica(client, NumberReader()).handle(consumer(client, "a", "b").take(4, 1))
    assert (frames_read(client, "a"), frames_read(client, "b")) == ([1], [1])


@pytest.mark.parametrize(
    "bad",
    [
        {"frame_id": "2"},
        {**frame_fields(2), "width": "99"},
        {**frame_fields(2), "body": b"\xff" * 100},
        {**frame_fields(2), "body": msgpack.packb(
            {"pixels": {"codec": "jpeg", "data": b"\xff\xd8\xff" + bytes(50)}})},
    ],
    ids=["no picture", "another size", "no msgpack", "no jpeg"],
)  # fmt: skip
def test_a_bad_entry_is_put_aside_alone(client: redis.Redis, bad: dict[str, str | bytes]) -> None:
    capture(client, "a", 1)
    streams.publish_captured(client, "a", 2, bad)
    capture(client, "a", 3)
    reader = CountingReader()
    replica(client, reader).handle(consumer(client, "a").take(4, 1))
    assert reader.batches == [[1, 3]]
    assert frames_read(client, "a") == [1, 3]
    assert list(errors(client, "a")) == [2]
    assert streams.first_unfinished(client, streams.frames_key("a"), streams.OCR) == 4


def test_a_frame_that_always_fails_is_put_aside_after_its_tries(client: redis.Redis) -> None:
    capture(client, "a", 1, 2)
    capture(client, "b", 5)
    reader = CountingReader(fails=[2])
    replica(client, reader).handle(consumer(client, "a", "b").take(4, 1))
    assert frames_read(client, "a") == [1]
    assert frames_read(client, "b") == [5]
    assert "ValueError: a strange picture among [2]" in errors(client, "a")[2]
    assert errors(client, "b") == {}
    assert reader.batches.count([2]) == Settings().ocr.max_deliveries
    (dead,) = streams.list_dead(client, "a")
    assert dead.deliveries == Settings().ocr.max_deliveries


def test_a_replica_that_cannot_read_any_more_buries_nothing(client: redis.Redis) -> None:
    capture(client, "a", *range(1, 9))
    broken = replica(client, NumberReader(breaks=[3]))
    pool = consumer(client, "a")
    with pytest.raises(ReplicaError, match=r"cannot read any more \(RuntimeError: CUDA error"):
        broken.handle(pool.take(4, 1))
    assert frames_read(client, "a") == []
    assert errors(client, "a") == {}
    assert held(client, "a", "a") == [1, 2, 3, 4]


def test_a_replica_that_can_read_no_frame_at_all_stops_burying_them(client: redis.Redis) -> None:
    """As when its GPU's memory suffices for nothing but a probe."""
    frames = range(1, 31)
    capture(client, "a", *frames)
    given = replica(client, NumberReader(fails=[n for n in frames if n != 6]))
    pool = consumer(client, "a")
    for _ in range(16):
        given.handle(pool.take(1, 1))
    with pytest.raises(ReplicaError, match="has put 10 frames aside and read none between them"):
        given.handle(pool.take(1, 1))
    assert frames_read(client, "a") == [6]
    assert list(errors(client, "a")) == [n for n in range(1, 17) if n != 6]
    assert held(client, "a", "a") == [17]


def test_a_dead_frame_has_its_pixels_with_it_as_jpeg(client: redis.Redis) -> None:
    capture(client, "a")
    streams.publish(client, streams.frames_key("a"), "77-0", frame_fields(77, codec="raw"))
    replica(client, NumberReader(fails=[77])).handle(consumer(client, "a").take(4, 1))
    ((_, fields),) = client.xrange(streams.dead_key("a"))
    frame = messages.parse_frame(fields)
    assert isinstance(frame, Frame)
    assert frame.pixels.codec == "jpeg"
    assert number_of(pixels.unpack(frame.pixels, WIDTH, HEIGHT)) == 77
    assert fields[b"error"].startswith(b"ValueError")


@pytest.mark.parametrize(("mode", "read"), [("file", [1, 4, 7]), ("live", list(range(1, 9)))])
def test_of_a_file_only_the_planned_frames_are_read(
    client: redis.Redis, mode: str, read: list[int]
) -> None:
    pool = PoolConsumer(client, "a", "every")
    reader = NumberReader()
    one = replica(client, reader, Settings(ocr=OcrSettings(read_every=3)))
    capture(client, "a", *range(1, 9), mode=mode)
    pool.serve(["a"])
    one.handle(pool.take(8, 1))
    assert frames_read(client, "a") == read
    assert counted(client, "a", "unread_by_plan") == 8 - len(read)
    assert held(client, "a", "a") == []
    assert pool.take(8, 1) == []


def test_a_dead_frame_is_tried_again_whatever_the_plan(client: redis.Redis) -> None:
    capture(client, "a", 2)
    pool = consumer(client, "a")
    replica(client, NumberReader(fails=[2])).handle(pool.take(1, 1))
    streams.retry_dead(client, "a", [dead.id for dead in streams.list_dead(client, "a")])
    planned = Settings(ocr=OcrSettings(read_every=3))
    replica(client, NumberReader(), planned).handle(pool.retried())
    assert frames_read(client, "a") == [2]


def test_a_late_reading_is_not_published_twice(real: redis.Redis) -> None:
    capture(real, "a", 1, 2)
    slow = consumer(real, "a", name="slow").take(4, 1)
    other = consumer(real, "a", name="other")
    quick = replica(real, NumberReader())
    quick.handle(other.claim(0)[0])
    quick.handle(slow)
    assert sorted(frames_read(real, "a")) == [1, 2]
    assert counted(real, "a", "readings") == 2
    assert counted(real, "a", "read_twice") == 1


def test_a_frame_that_was_handed_out_too_often_is_not_even_looked_at(real: redis.Redis) -> None:
    capture(real, "a", 1)
    assert len(consumer(real, "a", name="dies").take(1, 1)) == 1
    reader = CountingReader()
    for turn in range(Settings().ocr.max_deliveries):
        (claimed,) = consumer(real, "a", name=f"heir-{turn}").claim(0)[0]
    replica(real, reader).handle([claimed])
    assert reader.batches == []
    assert errors(real, "a") == {1: "handed out 3 times and never finished"}


def test_unplanned_frames_of_a_batch_are_passed_over_at_once(real: redis.Redis) -> None:
    capture(real, "a", *range(1, 9))
    planned = Settings(ocr=OcrSettings(read_every=4))
    taken = consumer(real, "a").take(8, 1)
    real.config_resetstat()
    replica(real, CountingReader(), planned).handle(taken)
    assert frames_read(real, "a") == [1, 5]
    assert counted(real, "a", "unread_by_plan") == 6
    assert held(real, "a", "a") == []
    calls = real.info("commandstats")
    # one for the six; the script that publishes acknowledges each of its two
    assert calls["cmdstat_xack"]["calls"] == 1 + 2
    assert calls["cmdstat_hincrby"]["calls"] == 1 + 1
