"""A service's life: settings, signals, Redis away and back, a clean exit."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import redis
import structlog

from platestream import logs, streams
from platestream.errors import PlatestreamError, RedisError
from platestream.settings import Settings

EXIT_OK = 0
EXIT_FAILED = 1  # worth starting again
EXIT_REFUSED = 2  # the same again will fail the same way

HEARTBEAT_S = 2.0
HEARTBEAT_LIFE_S = 6.0  # then a process that was killed is forgotten
_BACKOFF_S = (0.1, 2.0)
_REMIND_S = 60.0


@dataclass
class Session:
    """What a running service has at hand.

    Attributes:
        client: The Redis client; it reconnects by itself.
        stopping: Set when the service has been asked to stop.
    """

    service: str
    settings: Settings
    client: redis.Redis
    stopping: threading.Event = field(default_factory=threading.Event)
    log: Any = field(default_factory=structlog.get_logger)

    def stopped(self) -> bool:
        """Whether the service has been asked to stop."""
        return self.stopping.is_set()

    def wait_for_redis(self, cause: Exception) -> bool:
        """Waits, with growing pauses, until Redis answers again; says so at once and every minute.

        Returns:
            False if the service was asked to stop meanwhile.

        Raises:
            RedisError: Redis was away for longer than ``redis.patience_s``.
        """  # fmt: skip
        url, patience = self.settings.redis.url, self.settings.redis.patience_s
        began = reminded = time.monotonic()
        pause = _BACKOFF_S[0]
        self.log.warning(f"Redis at {url} does not answer ({cause}); waiting for it")
        while not self.stopping.wait(pause):
            try:
                self.client.ping()
            except streams.OUTAGE:
                now = time.monotonic()
                if patience is not None and now - began > patience:
                    raise RedisError(
                        f"Redis at {url} has not answered for {now - began:.0f} s"
                    ) from cause
                if now - reminded > _REMIND_S:
                    reminded = now
                    self.log.warning(f"still no Redis at {url} after {now - began:.0f} s")
                pause = min(2 * pause, _BACKOFF_S[1])
            else:
                self.log.info(f"Redis at {url} is back after {time.monotonic() - began:.1f} s")
                return True
        return False

    def count(self, camera: str, **counters: int) -> None:
        """Adds to a camera's counters in Redis; zeros are left out."""
        streams.count(self.client, camera, **counters)

    def replica_name(self) -> str:
        """This process's name in a consumer group: host and process."""
        return f"{self.service}-{socket.gethostname()}-{os.getpid()}"


def serve(service: str, settings: Settings, body: Callable[[Session], None]) -> int:
    """Runs a service to its end; returns the exit code.

    ``body`` runs until its work is done or ``session.stopped()``. When Redis goes away it may
    let the error through: once Redis is back it is called again, and must then take up what it
    had been handed and not acknowledged.

    SIGTERM and SIGINT ask it to stop: it finishes what it holds, and the exit code is 0.
    """
    logs.configure(settings.log, service=service, camera=settings.camera)
    log = structlog.get_logger()
    try:
        client = streams.connect(settings.redis.url)
        session = Session(service, settings, client)
        _stop_on_signals(session)
        beat = threading.Thread(target=_beat, args=(session,), daemon=True)
        beat.start()
        while not session.stopped():
            try:
                body(session)
            except streams.OUTAGE as error:
                if not session.wait_for_redis(error):
                    break
            except redis.ResponseError as error:
                if "NOGROUP" not in str(error):  # Redis came back empty: body makes it anew
                    raise RedisError(f"Redis at {settings.redis.url}: {error}") from error
                log.warning("Redis has lost this camera's streams; beginning anew")
            else:
                break
        session.stopping.set()
        beat.join(HEARTBEAT_S)
    except PlatestreamError as error:
        log.error(str(error), fatal=True)
        return EXIT_REFUSED
    except Exception:
        log.exception("unexpected error; please report it", fatal=True)
        return EXIT_FAILED
    return EXIT_OK


def heartbeat_key(service: str, camera: str, pid: int) -> str:
    """The key that says that a process is alive; it expires when the process is gone."""
    return f"alive:{{{camera}}}:{service}:{socket.gethostname()}:{pid}"


def _beat(session: Session) -> None:
    client = streams.connect(session.settings.redis.url)
    key = heartbeat_key(session.service, session.settings.camera, os.getpid())
    stopping = False
    while not stopping:
        try:
            client.set(key, str(int(time.time())), px=int(1000 * HEARTBEAT_LIFE_S))
        except redis.RedisError as error:
            session.log.debug(f"no heartbeat: {error}")
        stopping = session.stopping.wait(HEARTBEAT_S)
    with contextlib.suppress(redis.RedisError):
        client.delete(key)


def _stop_on_signals(session: Session) -> None:
    """Sets ``session.stopping`` on SIGTERM and SIGINT, by way of a thread of its own.

    A handler runs in the main thread between two of its steps; an event's lock may be held there,
    and to set the event from the handler would then wait for itself, for ever.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def listen() -> None:
        reader.recv(1)
        session.stopping.set()
        writer.detach()  # stays open for further signals, whoever lets go of this object

    signal.set_wakeup_fd(writer.fileno())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    threading.Thread(target=listen, daemon=True).start()
