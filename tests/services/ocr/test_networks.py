"""The networks of a replica: loaded once, and not ready meanwhile."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
import redis

from platestream import runtime, settings, streams
from platestream.embedded_redis import EmbeddedRedis
from platestream.health import Verdict
from platestream.runtime import Session
from platestream.vision.reader import PlateReader
from services.ocr import service
from tests.conftest import wait_until


def test_networks_are_loaded_once_whatever_redis_does(
    any_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Verdict] = []
    log: list[str] = []
    client = streams.connect(any_server.url)
    loaded = settings.load({"redis.url": any_server.url, "ocr.name": "one"})
    words = SimpleNamespace(info=log.append, warning=log.append, debug=log.append)
    session = Session("ocr", loaded, client, log=words)

    def load(**_: object) -> SimpleNamespace:
        said.append(session.health.is_ready())
        return SimpleNamespace(alphabet="")

    monkeypatch.setattr(PlateReader, "load", load)
    streams.register_camera(client, "a", mode="live")
    thread = threading.Thread(target=runtime._live, args=(session, service.Ocr().run))
    thread.start()
    try:
        other: redis.Redis = streams.connect(any_server.url)
        for times in (1, 2, 3):
            wait_until(lambda n=times: sum("replica is ready" in w for w in log) == n)  # type: ignore[misc]
            if times < 3:
                wait_until(lambda: other.info("clients")["blocked_clients"], what="waiting")
                other.client_kill_filter(_type="normal", skipme=True)
        assert not said[0].ok
        assert "networks are being loaded" in said[0].reasons
        assert len(said) == 1
    finally:
        session.stopping.set()
        thread.join(30)
