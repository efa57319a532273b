"""The client of a server or a cluster, and the errors that mean that it is away."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.connection import AbstractConnection
from redis.exceptions import AskError, ClusterDownError, RedisClusterException, TryAgainError
from redis.retry import Retry

from platestream.errors import RedisError
from platestream.masking import mask
from platestream.settings import RedisSettings
from platestream.streams.address import Address
from platestream.streams.cluster import Cluster
from platestream.streams.open_connections import OpenConnections
from platestream.streams.refusal import OldRedisError, is_unwritable, name_command

Client = redis.Redis | redis.RedisCluster
_Step = Callable[[AbstractConnection], None]

OUTAGE: tuple[type[Exception], ...] = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.BusyLoadingError,
    # a cluster that lacks a node, or moves slots (MOVED is an ASK to redis-py)
    ClusterDownError,
    RedisClusterException,
    TryAgainError,
    AskError,
)
"""What redis-py raises while the server is away or still loading: worth waiting for.

A wrong password and a wrong certificate are among them; ``refusal`` tells. A Redis that cannot
write to its disk is not, as redis-py has no class for that; ``is_outage`` tells.
"""

FAILURE: tuple[type[Exception], ...] = (redis.RedisError, RedisClusterException)
"""Whatever redis-py raises; what it raises of a cluster is not all of one kind."""

# of XREADGROUP on a stream that is gone; the second while it waits, from some versions
_LOST = ("NOGROUP", "UNBLOCKED")

OLDEST = (6, 2)
"""The oldest Redis that does: XAUTOCLAIM is of 6.2."""


class RestartError(redis.ConnectionError):
    """The server is another process than before: it may have gone back in time, or be empty."""


class StreamsLostError(redis.ResponseError):
    """The server runs on, but has a camera's streams no longer."""


def is_outage(error: BaseException) -> bool:
    """Whether an error says that the server is away, or takes no data now: worth waiting for."""
    return isinstance(error, OUTAGE) or is_unwritable(error)


def is_loss(error: redis.ResponseError) -> bool:
    """Whether an error says that the server has lost streams or groups."""
    return isinstance(error, StreamsLostError) or str(error).startswith(_LOST)


class ServerIdentity:
    """Which server process a client speaks to; of a cluster, which at each node.

    A server that was started again has what its append-only file held: all of it, or all up to
    some moment, or nothing. A client that took the new process for the old one would go on in the
    middle of what is missing; therefore each new connection asks, before any command, and fails
    until ``forget`` says that the new process is known to be one.
    """

    def __init__(self) -> None:
        self._run_ids: dict[str, str] = {}

    def forget(self) -> None:
        """Takes whatever process answers next for the right one."""
        self._run_ids = {}

    def check(self, node: str, run_id: str) -> None:
        """Compares the process at a node with the one that it was.

        Raises:
            RestartError: It is another.
        """
        if run_id and self._run_ids.setdefault(node, run_id) != run_id:
            raise RestartError("it was started again")


def connect(
    address: RedisSettings | str,
    *,
    timeout_s: float = 15.0,
    retries: int = 2,
    identity: ServerIdentity | None = None,
    connections: OpenConnections | None = None,
) -> Client:
    """Makes a client; it connects when it is first used, and again after a lost connection.

    One server is never sent a command again whose answer was lost: it may have been done, and
    entries that a group handed out in it would be held by nobody. The caller begins anew.

    Args:
        address: The settings, or a URL alone: ``redis://host:6379/0``, ``rediss://…``,
            ``unix:///path/redis.sock``, ``redis+cluster://host:6379,host:6379``.
        timeout_s: How long an answer may take; blocking reads must be shorter.
        retries: How often a cluster is sent a command again that failed.
        identity: Makes every command fail once the server was started again, until told.
        connections: Is told of each new one, and may cut them.

    Raises:
        RedisError: The URL is not one, or a file of password or certificate is not there.
    """
    where = Address.of(address)
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": min(3.0, timeout_s),
        "credential_provider": where.credentials(),
        **where.tls,
    }
    backoff = ExponentialBackoff(cap=0.2, base=0.02)
    check = partial(_check, identity)
    opened = connections.opened if connections is not None else lambda _: None
    if where.nodes:
        tls = {"ssl": True} if where.url.startswith("rediss:") else {}
        return Cluster(
            where.nodes,
            retry=Retry(backoff, retries),
            redis_connect_func=partial(_check_node, check, opened),
            **tls,
            **options,
        )
    try:
        return _Server.from_url(
            where.url,
            retry=Retry(backoff, 0),
            redis_connect_func=partial(_greet, check, opened),
            **options,
        )
    except (ValueError, TypeError) as error:
        raise RedisError(f"'{mask(where.url)}' is not a Redis URL: {error}") from error


class _Server(redis.Redis):
    """A client of one server, whose refusals say which command was refused."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except redis.exceptions.NoPermissionError as error:
            raise name_command(error, args) from error


def _greet(check: _Step, opened: _Step, connection: AbstractConnection) -> None:
    """Greets the server on a new connection, as redis-py does, and asks who and how old it is."""
    opened(connection)
    try:
        connection.on_connect()  # type: ignore[no-untyped-call]
    except redis.ResponseError as error:
        if "unknown command" not in str(error):  # HELLO is of 6.0
            raise
    check(connection)


def _check_node(check: _Step, opened: _Step, connection: AbstractConnection) -> None:
    """The same for a cluster's node, which redis-py has greeted."""
    opened(connection)
    check(connection)


def _check(identity: ServerIdentity | None, connection: AbstractConnection) -> None:
    """Asks a server on a new connection how old it is, and whether it is the one that it was.

    Raises:
        OldRedisError: It is too old.
        RestartError: It is another.
    """
    connection.send_command("INFO", "server", check_health=False)  # type: ignore[no-untyped-call]
    try:
        said = connection.read_response(disable_decoding=True)
    except redis.exceptions.NoPermissionError:
        return  # this user may not ask
    text = said.decode("ascii", "replace") if isinstance(said, bytes) else str(said)
    facts = dict(row.partition(":")[::2] for row in text.splitlines())
    version = facts.get("redis_version", "")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if len(numbers) == 2 and numbers < OLDEST:
        raise OldRedisError(f"it is Redis {version}; platestream needs 6.2 or newer")
    if identity is not None:
        identity.check(_node(connection), facts.get("run_id", ""))


def _node(connection: AbstractConnection) -> str:
    """Where a connection goes."""
    names = ("path", "host", "port")
    return ":".join(str(getattr(connection, name)) for name in names if hasattr(connection, name))
