"""A service's life: signals end it, however many and whenever they come."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from platestream.embedded_redis import EmbeddedRedis
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
def test_many_signals_at_once_end_it_once_and_well(server: EmbeddedRedis, number: int) -> None:
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", _SERVICE, server.url], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for _ in range(20):
            os.kill(process.pid, number)
        wait_until(lambda process=process: process.poll() is not None, 20, "the service's end")
        assert process.returncode == 0
