"""A service's life: settings, signals, Redis away and back, what is seen of it, a clean exit."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis
import structlog

from platestream import fleet_reports, logs, streams
from platestream.errors import PlatestreamError, RedisError, ReplicaError
from platestream.hanging_up import hang_up_if_silent
from platestream.health import Health
from platestream.masking import mask
from platestream.metrics import Metrics
from platestream.observation import observed
from platestream.process_limit import ProcessLimitError, is_reached
from platestream.settings import Settings

EXIT_OK = 0
EXIT_FAILED = 1  # worth starting again
EXIT_REFUSED = 2  # the same again will fail the same way

HEARTBEAT_S = 2.0
HEARTBEAT_LIFE_S = 6.0  # then a process that was killed is forgotten
_BACKOFF_S = (0.1, 2.0)
_REMIND_S = 60.0
_LONGEST_PAUSE_S = 0.5
_BEAT_TIMEOUT_S = 2.0


@dataclass
class Session:
    """What a running service has at hand.

    Attributes:
        client: The Redis client; it reconnects by itself.
        stopping: Set when the service has been asked to stop.
        metrics: What Prometheus is told.
        health: What ``/healthz`` and ``/readyz`` say.
        server: Which Redis process the client speaks to, where the client was made with it.
        owner: This process as the one that serves the camera, where there is one at a time.
    """

    service: str
    settings: Settings
    client: streams.Client
    stopping: threading.Event = field(default_factory=threading.Event)
    log: Any = field(default_factory=structlog.get_logger)
    _tallies: dict[str, streams.Tally] = field(default_factory=dict)
    _refused_at: float = -_REMIND_S
    metrics: Metrics = field(init=False)
    health: Health = field(init=False)
    server: streams.ServerIdentity = field(default_factory=streams.ServerIdentity)
    owner: streams.Owner = field(init=False)

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.service, self.settings.camera)
        self.owner = streams.Owner(self.client, self.settings.camera, self.service)
        # capture may wait for its source for as long as that may be silent
        silence_s = self.settings.capture.timeout_s if self.service == "capture" else 0.0
        self.health = Health(self.settings.http.hang_s + silence_s)
        self._main_thread = threading.get_ident()

    def stopped(self) -> bool:
        """Whether the service has been asked to stop.

        A loop that asks is alive: in the thread that made the session, asking is a sign of life.
        """
        if threading.get_ident() == self._main_thread:
            self.health.alive()
        return self.stopping.is_set()

    def wait(self, seconds: float) -> bool:
        """Pauses, and stays alive meanwhile; returns True at once when asked to stop."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self.stopping.wait(min(left, _LONGEST_PAUSE_S)):
                return True
            self.health.alive()
        return self.stopping.is_set()

    @contextlib.contextmanager
    def loading(self, what: str) -> Iterator[None]:
        """For what takes long before work can begin: not ready meanwhile, and no hang for a while.

        Args:
            what: A sentence for people, such as ``networks are being loaded``.
        """
        self.health.begin()
        self.health.not_ready(what, "loading")
        yield
        self.health.ready("loading")

    def alive(self) -> None:
        """A sign of life, for loops that do not ask whether they are ``stopped``."""
        self.health.alive()

    def not_ready(self, reason: str, about: str = "") -> None:
        """Makes ``/readyz`` fail with a sentence, until ``ready`` (see ``Health.not_ready``)."""
        self.health.not_ready(reason, about)

    def ready(self, about: str = "") -> None:
        """Takes back what ``not_ready`` said with the same ``about``."""
        self.health.ready(about)

    def delivered(self, within_s: float | None) -> None:
        """A frame came; without another within so many seconds the service is not ready."""
        self.health.delivered(within_s)

    def join(self, consumer: streams.GroupConsumer) -> None:
        """Lets a consumer take its place; says from whom it has taken the camera over.

        Raises:
            TakenOverError: It was this process's before, and another has taken it over since.
        """
        before = consumer.join()
        if before:
            self.log.info(f"goes on in place of {before}, which ends if it still runs")

    def wait_for_redis(self, cause: Exception) -> bool:
        """Waits, with growing pauses, until Redis serves again; says so at once and every minute.

        A Redis that cannot write to its disk refuses a PING, too, until it can.

        Returns:
            False if the service was asked to stop meanwhile.

        Raises:
            RedisError: Redis was away for longer than ``redis.patience_s``, or it is there and
                refuses us: a wrong password, a wrong certificate.
        """  # fmt: skip
        self._refuse(cause)
        url, patience = mask(self.settings.redis.url), self.settings.redis.patience_s
        began = reminded = time.monotonic()
        pause = _BACKOFF_S[0]
        away = streams.away(cause, self.settings.redis)
        why = "" if streams.is_unwritable(cause) else f" ({cause})"
        self.log.warning(f"{away}{why}; waiting for it")
        while not self.wait(pause):
            self.health.redis_answers(False, away)
            self.server.forget()  # whatever answers next, the service begins anew with it
            try:
                self.client.ping()
            except streams.FAILURE as error:
                if not streams.is_outage(error):
                    raise
                self._refuse(error)
                away = streams.away(error, self.settings.redis)
                now = time.monotonic()
                if patience is not None and now - began > patience:
                    if streams.is_unwritable(error):
                        raise RedisError(f"{away}; gave up after {now - began:.0f} s") from cause
                    raise RedisError(
                        f"Redis at {url} has not answered for {now - began:.0f} s"
                    ) from cause
                if now - reminded > _REMIND_S:
                    reminded = now
                    self.log.warning(f"still, after {now - began:.0f} s: {away}")
                pause = min(2 * pause, _BACKOFF_S[1])
            else:
                self.health.redis_answers(True)
                self.log.info(f"Redis at {url} is back after {time.monotonic() - began:.1f} s")
                return True
        return False

    def count(self, camera: str, **counters: int) -> None:
        """Adds to a camera's counters, in Redis and for Prometheus; zeros are left out.

        A Redis that is full refuses that too, and one that is away does not answer: then it is
        added the next time, and once, whether or not it had done it. What is counted of an
        entry that is acknowledged goes with that: see ``done``.
        """
        self.metrics.count(camera, **counters)
        if camera not in self._tallies:
            self._tallies[camera] = streams.Tally(self.client, camera)
        self._tallies[camera].add(**counters)
        self.catch_up()

    def done(self, consumer: streams.GroupConsumer, *ids: str, **counters: int) -> None:
        """Says, as the owner, that entries are done with, and counts what became of them.

        In one step: Redis may do what it is asked though its answer comes too late, and who was
        done with an entry is not handed it again, to count it then.

        Args:
            counters: As for ``count``.

        Raises:
            TakenOverError: Another has taken the camera over.
        """
        counted = {name: amount for name, amount in counters.items() if amount}
        try:
            consumer.ack(*ids, counted=counted)
        except redis.OutOfMemoryError:  # who is done with entries makes room
            consumer.ack(*ids)
            self.count(self.settings.camera, **counted)
            return
        self.metrics.count(self.settings.camera, **counted)
        self.catch_up()

    def catch_up(self) -> None:
        """Adds what could not be added to counters while Redis was away, or full."""
        with contextlib.suppress(redis.OutOfMemoryError):
            for tally in self._tallies.values():
                tally.send()

    def serves(self, cameras: Iterable[str]) -> None:
        """These are the cameras of a pool now: metrics and counters of others are dropped."""
        served = set(cameras)
        self.metrics.serves(served)
        self._tallies = {
            camera: tally
            for camera, tally in self._tallies.items()
            if camera in served or not tally.is_sent
        }

    def publish(
        self,
        camera: str,
        send: Callable[[], object],
        *,
        waits: bool,
        refused: str = "refused_by_redis",
    ) -> bool:
        """Publishes; a Redis that is full (its ``maxmemory``) is said once a minute.

        Args:
            send: Does it; may be called again.
            waits: Whether to try again until there is room. Otherwise what was to be published
                is left out, and counted.
            refused: The counter of what is left out.

        Returns:
            False if it was left out, or the service asked to stop before there was room.
        """
        pause = _BACKOFF_S[0]
        while True:
            try:
                send()
                return True
            except redis.OutOfMemoryError:
                now = time.monotonic()
                if now - self._refused_at >= _REMIND_S:
                    self._refused_at = now
                    self.log.warning(
                        f"Redis at {mask(self.settings.redis.url)} is full (maxmemory); "
                        f"{'waiting for room' if waits else 'frames are left out'}. "
                        "Give it more memory, or its streams smaller budgets"
                    )
            if not waits:
                self.count(camera, **{refused: 1})
                return False
            if self.wait(pause):
                return False
            pause = min(2 * pause, _BACKOFF_S[1])

    def _refuse(self, error: Exception) -> None:
        refusal = streams.refusal(error, self.settings.redis)
        if refusal is not None:
            raise refusal from error

    def replica_name(self) -> str:
        """This process's name in a consumer group: host and process."""
        return f"{self.service}-{socket.gethostname()}-{os.getpid()}"


def serve(
    service: str,
    settings: Settings,
    body: Callable[[Session], None],
    *,
    cameras: Sequence[str] | None = None,
) -> int:
    """Runs a service to its end; returns the exit code.

    ``body`` runs until its work is done or ``session.stopped()``. When Redis goes away it may
    let the error through: once Redis is back it is called again, and must then take up what it
    had been handed and not acknowledged.

    SIGTERM and SIGINT ask it to stop: it finishes what it holds, and the exit code is 0. A Redis
    that is silent meanwhile is not waited for (``hang_up_if_silent``).

    Args:
        cameras: Whose the service is; none of them: it is of a pool that serves all. Without it,
            the camera of the settings.
    """
    served = [settings.camera] if cameras is None else list(cameras)
    logs.configure(settings.log, service=service, camera=",".join(served) or "all")
    log = structlog.get_logger()
    try:
        server = streams.ServerIdentity()
        connections = streams.OpenConnections()
        client = streams.connect(settings.redis, identity=server, connections=connections)
        session = Session(service, settings, client, server=server)
        _stop_on_signals(session)
        beat = threading.Thread(target=_beat, args=(session, served, connections), daemon=True)
        beat.start()
        threading.Thread(
            target=hang_up_if_silent,
            args=(settings.redis, client, connections, session.stopping, log),
            daemon=True,
        ).start()
        with (
            fleet_reports.reporting(session.health, session.metrics.registry),
            observed(session.metrics, session.health, settings, session.stopping),
        ):
            _live(session, body)
        session.stopping.set()
        beat.join(HEARTBEAT_S)
    except ReplicaError as error:
        log.error(str(error), fatal=True)
        return EXIT_FAILED
    except PlatestreamError as error:
        log.error(str(error), fatal=True)
        return EXIT_REFUSED
    except Exception as error:
        if is_reached(error):
            log.error(str(ProcessLimitError()), fatal=True)
        else:
            log.exception("unexpected error; please report it", fatal=True)
        return EXIT_FAILED
    finally:
        logs.say_left_out(all_of_them=True)
    return EXIT_OK


def _live(session: Session, body: Callable[[Session], None]) -> None:
    """Calls ``body`` until it returns, again after each time that Redis was away."""
    while not session.stopping.is_set():
        try:
            session.catch_up()
            body(session)
        except redis.OutOfMemoryError:
            url = mask(session.settings.redis.url)
            session.log.warning(f"Redis at {url} is full (maxmemory); trying again")
            session.wait(_BACKOFF_S[1])
        except streams.FAILURE as error:
            if streams.is_outage(error):
                if not session.wait_for_redis(error):
                    return
                continue
            if not isinstance(error, redis.ResponseError):
                raise
            refusal = streams.refusal(error, session.settings.redis)
            if refusal is not None:
                raise refusal from error
            if not streams.is_loss(error):  # else Redis was emptied: body makes it anew
                raise streams.wrong_answer(error, session.settings.redis) from error
            session.log.warning("Redis has lost this camera's streams; beginning anew")
        else:
            return


def heartbeat_key(service: str, camera: str | None, pid: int) -> str:
    """The key that says that a process is alive; it expires when the process is gone.

    Args:
        camera: Whose service it is; None for one of a pool, which keeps no camera in use.
    """
    return streams.alive_key(service, camera, f"{socket.gethostname()}:{pid}")


def _beat(session: Session, cameras: Sequence[str], connections: streams.OpenConnections) -> None:
    # without patience: a Redis that does not answer is to be noticed
    client = streams.connect(
        session.settings.redis, timeout_s=_BEAT_TIMEOUT_S, retries=0, connections=connections
    )
    keys = [heartbeat_key(session.service, whose, os.getpid()) for whose in cameras or (None,)]
    stopping = said = False
    while not stopping:
        try:
            for key in keys:
                client.set(key, str(int(time.time())), px=int(1000 * HEARTBEAT_LIFE_S))
            session.health.redis_answers(True)
        except streams.FAILURE as error:
            session.health.redis_answers(False, streams.away(error, session.settings.redis))
            refusal = streams.refusal(error, session.settings.redis)
            if refusal is None or said:
                session.log.debug(f"no heartbeat: {error}")
            else:
                session.log.error(f"no heartbeat: {refusal}")
                said = True
        logs.say_left_out()
        stopping = session.stopping.wait(HEARTBEAT_S)
    with contextlib.suppress(*streams.FAILURE):
        for key in keys:
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
        for end in (reader, writer):
            end.detach()  # both stay open for further signals, whoever lets go of these objects

    signal.set_wakeup_fd(writer.fileno())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    threading.Thread(target=listen, daemon=True).start()
