"""A run's claim on a camera's name."""

from __future__ import annotations

import pytest
import redis

from platestream import camera_claim, streams
from platestream.camera_claim import take_camera
from platestream.errors import RedisError
from platestream.streams import RunClaim
from tests.conftest import wait_until

CAMERA = "clip"


def test_one_run_at_a_time_has_a_name(client: redis.Redis) -> None:
    one, other = RunClaim(client, CAMERA), RunClaim(client, CAMERA)
    assert one.take(60)
    assert not other.take(60)
    assert other.holder() == one.holder() != ""
    other.renew(60)
    other.release()
    assert not other.take(60)
    one.release()
    assert one.holder() == ""
    assert other.take(60)


def test_the_claim_of_a_run_that_was_killed_expires(client: redis.Redis) -> None:
    one, other = RunClaim(client, CAMERA), RunClaim(client, CAMERA)
    assert one.take(60)
    one.renew(0.05)
    wait_until(lambda: other.take(60), 5)
    one.renew(60)
    assert other.holder()
    assert RunClaim(client, "another").take(60)


def test_it_is_held_in_a_redis_that_was_emptied(client: redis.Redis) -> None:
    one = RunClaim(client, CAMERA)
    assert one.take(60)
    client.flushall()
    one.renew(60)
    assert not RunClaim(client, CAMERA).take(60)


def test_the_second_run_is_told_to_take_another_name(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_claim, "HEARTBEAT_LIFE_S", -1.0)
    take_camera(client, RunClaim(client, CAMERA))
    streams.register_camera(client, CAMERA, source="a/clip.mp4")
    with pytest.raises(RedisError, match=r"'clip' is in use .* run .+:\d+; .* with --camera"):
        take_camera(client, RunClaim(client, CAMERA))
    assert streams.registered_cameras(client) == [CAMERA]  # and nothing is cleared away
    assert client.exists(streams.camera_key(CAMERA))
