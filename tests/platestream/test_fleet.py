"""A fleet's own view of its cameras, and its patience with those that fail."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from platestream import fleet, fleet_member, streams
from platestream.embedded_redis import EmbeddedRedis
from platestream.errors import SettingsError
from platestream.fleet import Fleet
from platestream.fleet_member import Service
from platestream.settings import RedisSettings, Settings
from tests.conftest import wait_until

PATIENCE_S = 60.0


@pytest.fixture
def server(any_server: EmbeddedRedis) -> EmbeddedRedis:
    """One of the two servers for each test: what starts processes takes long enough with one."""
    return any_server


@pytest.fixture
def start(server: EmbeddedRedis) -> Iterator[Callable[..., Fleet]]:
    """Runs a fleet in a thread; its processes have ended when the test has."""
    running: list[tuple[Fleet, threading.Thread, list[int]]] = []

    def begin(path: Path, *, once: bool = False, service: Service = "capture") -> Fleet:
        settings = Settings(redis=RedisSettings(url=server.url))
        one = Fleet(service, path, settings, {"redis.url": server.url}, once=once)
        codes: list[int] = []
        thread = threading.Thread(target=lambda: codes.append(one.run()))
        thread.start()
        running.append((one, thread, codes))
        return one

    yield begin
    for one, thread, codes in running:
        one.stop()
        thread.join(PATIENCE_S)
        assert codes == [0]


@pytest.mark.soak
def test_states_say_how_each_camera_does(
    start: Callable[..., Fleet],
    make_video: Callable[..., Path],
    make_long_video: Callable[[Path, int], Path],
    tmp_path: Path,
) -> None:
    clip = make_video(tmp_path / "clip.mp4", frames=5)
    long = make_long_video(tmp_path / "long.mp4", 80)
    path = tmp_path / "cameras.toml"
    sources = {"ends": clip, "plays": long, "fails": tmp_path / "none.mp4"}
    path.write_text(
        "".join(
            f"[cameras.{name}]\nsource = '{source}'\ncapture.live = true\n"
            for name, source in sources.items()
        )
    )
    one = start(path)
    wait_until(lambda: one.states()["ends"].state == "done", PATIENCE_S, "an end")
    wait_until(lambda: one.states()["fails"].state == "waiting", PATIENCE_S, "a failure")
    said = one.states()["fails"]
    assert said.reason == f"camera fails: no such file: '{tmp_path / 'none.mp4'}'"
    assert one.states()["plays"].state == "running"
    wait_until(lambda: one.states()["fails"].failures >= 3, PATIENCE_S, "more tries")
    make_video(tmp_path / "none.mp4", frames=5)  # what was missing comes: it is found by itself
    wait_until(lambda: one.states()["fails"].state == "done", PATIENCE_S, "the file read")
    assert one.states()["plays"].failures == 0

    path.write_text("[cameras")
    wait_until(lambda: "not valid TOML" in one.problem, PATIENCE_S, "a word")
    assert set(one.states()) == set(sources)
    path.write_text(f"[cameras.ends]\nsource = '{clip}'\ncapture.live = true\n")
    wait_until(lambda: not one.problem, PATIENCE_S, "the file in force")
    wait_until(lambda: one.states()["plays"].state == "leaving", PATIENCE_S, "a camera leaving")
    assert one.states()["ends"].state == "done"


def test_cameras_removed_beside_a_silent_redis_hold_up_neither_others_nor_the_end(
    silent: EmbeddedRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How far each is cannot be asked: every question takes as long as an answer may."""
    path = tmp_path / "cameras.toml"
    names = [f"gate-{number}" for number in range(6)]
    cameras = {name: f"[cameras.{name}]\nsource = 'none.mp4'\n" for name in names}
    path.write_text("".join(cameras.values()))
    one = Fleet(
        "track", path, Settings(redis=RedisSettings(url=silent.url)), {"redis.url": silent.url}
    )
    thread = threading.Thread(target=one.run)
    thread.start()
    try:
        client = streams.connect(silent.url)
        owned = [streams.owners_key(name) for name in names]
        wait_until(lambda: client.exists(*owned) == len(names), PATIENCE_S, "all at work")
        for name in names[1:]:  # they have something to do: nobody is through with them
            streams.register_camera(client, name, started_at_ms="1")
        silent.process.send_signal(signal.SIGSTOP)
        path.write_text(cameras[names[0]])
        wait_until(
            lambda: one.states()[names[-1]].state == "leaving", PATIENCE_S, "cameras leaving"
        )
        idle = [one.idle_s() for _ in range(60) if not time.sleep(0.1)]
        assert max(idle) < 6  # one question and not five
        asked = time.monotonic()
        one.stop()
        thread.join(PATIENCE_S)
        took_s = time.monotonic() - asked
    finally:
        silent.process.send_signal(signal.SIGCONT)
        one.stop()
        thread.join(PATIENCE_S)
    assert took_s < 12


def test_a_camera_and_a_file_of_cameras_do_not_go_together(tmp_path: Path) -> None:
    path = tmp_path / "cameras.toml"
    path.write_text("[cameras.a]\nsource = 'x'\n")
    with pytest.raises(SettingsError, match="not both"):
        fleet.serve("track", path, {"camera": "a"}, None, None)
    with pytest.raises(SettingsError, match="not both"):
        fleet.serve("capture", path, {"capture.source": "x.mp4"}, None, None)


def test_a_writer_is_refused_one_file_for_two_cameras(tmp_path: Path) -> None:
    path = tmp_path / "cameras.toml"
    path.write_text("[cameras.a]\nsource = 'x'\n[cameras.b]\nsource = 'y'\n")
    with pytest.raises(SettingsError, match="would both write"):
        fleet.serve("writer", path, {"writer.output": "out.mp4"}, None, None)


def test_one_whose_camera_another_serves_waits_until_that_is_gone(
    start: Callable[..., Fleet],
    server: EmbeddedRedis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two fleets of one file: they do not take the camera from one another again and again."""
    monkeypatch.setattr(fleet_member, "_OTHER_POLL_S", 0.1)
    asked: list[str] = []
    ask = streams.other_owner

    def other_owner(*words: Any) -> str:
        asked.append(ask(*words))
        return asked[-1]

    monkeypatch.setattr(streams, "other_owner", other_owner)
    client = streams.connect(server.url)

    def serves(one: Fleet) -> bool:
        said = streams.read_hash(client, streams.owners_key("gate")).get("track", "")
        return f":{one.states()['gate'].pid}:" in said

    path = tmp_path / "cameras.toml"
    path.write_text("[cameras.gate]\nsource = 'none.mp4'\n")
    one = start(path, service="track")
    wait_until(lambda: serves(one), PATIENCE_S, "the first")
    other = start(path, service="track")
    wait_until(lambda: serves(other), PATIENCE_S, "the second")
    wait_until(lambda: len(asked) > 5, PATIENCE_S, "the first to look several times")
    assert serves(other)
    said = one.states()["gate"]
    assert (said.state, said.failures) == ("waiting", 1)
    assert f":{other.states()['gate'].pid}) has taken camera 'gate' over" in said.reason
    other.stop()
    wait_until(lambda: serves(one), PATIENCE_S, "the first again")
