"""A fleet's health over HTTP."""

from __future__ import annotations

import socket

import pytest
from redis import Redis

from platestream.embedded_redis import EmbeddedRedis
from platestream.fleet_observation import observed
from platestream.probe import probe
from platestream.settings import HttpSettings, RedisSettings, Settings
from tests.platestream.test_observation import get


@pytest.fixture
def settings(server: EmbeddedRedis) -> Settings:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    return Settings(redis=RedisSettings(url=server.url), http=HttpSettings(port=port, hang_s=5))


@pytest.mark.parametrize(
    ("idle_s", "problem", "cameras", "well", "said"),
    [
        (0.0, "", {"a": "", "b": ""}, True, "capture of all is well"),
        (0.0, "", {}, True, "capture of all is well"),
        (0.0, "", {"a": "camera a: no such file", "b": ""}, True, "camera a: no such file"),
        (0.0, "", {"a": "camera a: no such file"}, False, "camera a: no such file"),
        (0.0, "'c.toml', line 3: no key", {"a": ""}, False, "'c.toml', line 3: no key"),
        (6.0, "", {"a": ""}, False, "no progress for 6 s"),
    ],
)
def test_ready_while_its_file_is_good_and_a_camera_is_served(
    settings: Settings,
    idle_s: float,
    problem: str,
    cameras: dict[str, str],
    well: bool,
    said: str,
) -> None:
    with observed("capture", settings, lambda: idle_s, lambda: problem, lambda: cameras):
        answer = probe(f"http://127.0.0.1:{settings.http.port}/readyz")
    assert answer[0] is well
    assert said in answer[1]


def test_a_camera_that_capture_has_lost_is_not_served(settings: Settings, real: Redis) -> None:
    real.hset("camera:{lost-one}", "state", "lost")
    with observed("capture", settings, lambda: 0.0, lambda: "", lambda: {"lost-one": ""}):
        url = f"http://127.0.0.1:{settings.http.port}"
        assert probe(f"{url}/healthz")[0]
        well, sentence = probe(f"{url}/readyz")
    assert not well
    assert "camera 'lost-one' is lost" in sentence


def test_metrics_say_which_of_a_fleets_services_is_ready(settings: Settings) -> None:
    with observed("writer", settings, lambda: 0.0, lambda: "", lambda: {"a": "", "b": ""}):
        _, said = get(settings.http.port, "/metrics")
    assert 'platestream_ready{service="writer"} 1.0' in said
    assert 'platestream_redis_up{service="writer"} 1.0' in said


def test_not_ready_without_redis(settings: Settings) -> None:
    away = settings.model_copy(update={"redis": RedisSettings(url="redis://127.0.0.1:1/0")})
    with observed("track", away, lambda: 0.0, lambda: "", lambda: {"a": ""}):
        well, sentence = probe(f"http://127.0.0.1:{settings.http.port}/readyz")
    assert not well
    assert "does not answer" in sentence
