"""Connections cut under a thread that waits for an answer."""

from __future__ import annotations

import signal
import threading
import time

import pytest
import redis

from platestream import streams
from platestream.embedded_redis import EmbeddedRedis


@pytest.mark.parametrize("known", [True, False])
def test_who_waits_for_a_silent_redis_is_let_go(silent: EmbeddedRedis, known: bool) -> None:
    """In the middle of a command, or while it still greets the server."""
    connections = streams.OpenConnections()
    client = streams.connect(silent.url, connections=connections)
    if known:
        client.ping()
    silent.process.send_signal(signal.SIGSTOP)
    failures: list[Exception] = []

    def ask() -> None:
        try:
            client.ping()
        except redis.RedisError as error:
            failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    began = time.monotonic()
    connections.cut(client)
    thread.join(5)
    assert not thread.is_alive()
    with pytest.raises(redis.ConnectionError):
        client.ping()
    assert time.monotonic() - began < 3
    assert [streams.is_outage(failure) for failure in failures] == [True]
