"""A fleet's health over HTTP."""

from __future__ import annotations

import json
import socket

import pytest
from redis import Redis

from platestream.embedded_redis import EmbeddedRedis
from platestream.fleet_observation import observed
from platestream.probe import probe
from platestream.settings import HttpSettings, RedisSettings, Settings
from tests.platestream.test_observation import get, reasons


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


def test_each_camera_is_asked_for_by_its_name(settings: Settings, real: Redis) -> None:
    real.hset("camera:{c}", "state", "stalled")
    wrong = {"a": "", "yard.north": "camera yard.north: no such file", "c": ""}
    problem = "'c.toml', line 3: no key"  # of the file: those that are there go on
    port = settings.http.port
    with observed("capture", settings, lambda: 0.0, lambda: problem, lambda: wrong):
        answers = {name: get(port, f"/readyz?camera={name}") for name in (*wrong, "none")}
        _, metrics = get(port, "/metrics")
        all_of_them = reasons(port)
    assert {name: status for name, (status, _) in answers.items()} == {
        "a": 200, "yard.north": 503, "c": 503, "none": 404
    }  # fmt: skip
    said = {name: json.loads(body) for name, (_, body) in answers.items()}
    assert said["a"] == {"status": "ok", "service": "capture", "camera": "a", "reasons": []}
    assert said["yard.north"]["reasons"] == ["camera yard.north: no such file"]
    assert said["c"]["reasons"] == ["camera 'c' is stalled"]
    assert said["none"]["reasons"] == ["no camera 'none' here"]
    assert set(all_of_them) == {problem, *said["yard.north"]["reasons"], *said["c"]["reasons"]}
    for name, ready in (("a", 1), ("yard.north", 0), ("c", 0)):
        sample = f'platestream_camera_ready{{camera="{name}",service="capture"}} {ready}.0'
        assert sample in metrics


def test_no_camera_is_ready_while_all_of_the_service_is_not(settings: Settings) -> None:
    with observed("track", settings, lambda: 6.0, lambda: "", lambda: {"a": ""}):
        status, body = get(settings.http.port, "/readyz?camera=a")
    assert status == 503
    assert "no progress for 6 s" in body
