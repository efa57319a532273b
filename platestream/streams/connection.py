"""The client of a server or a cluster, and the errors that mean that it is away."""

from __future__ import annotations

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
from platestream.streams.refusal import OldRedisError, name_command

Client = redis.Redis | redis.RedisCluster

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

A wrong password and a wrong certificate are among them; ``refusal`` tells.
"""

FAILURE: tuple[type[Exception], ...] = (redis.RedisError, RedisClusterException)
"""Whatever redis-py raises; what it raises of a cluster is not all of one kind."""

OLDEST = (6, 2)
"""The oldest Redis that does: XAUTOCLAIM is of 6.2."""


def connect(address: RedisSettings | str, *, timeout_s: float = 15.0, retries: int = 2) -> Client:
    """Makes a client; it connects when it is first used, and again after a lost connection.

    Args:
        address: The settings, or a URL alone: ``redis://host:6379/0``, ``rediss://…``,
            ``unix:///path/redis.sock``, ``redis+cluster://host:6379,host:6379``.
        timeout_s: How long an answer may take; blocking reads must be shorter.
        retries: How often a command that failed is sent again, over a new connection.

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
    retry = Retry(ExponentialBackoff(cap=0.2, base=0.02), retries=retries)
    if where.nodes:
        tls = {"ssl": True} if where.url.startswith("rediss:") else {}
        return Cluster(
            where.nodes, retry=retry, redis_connect_func=_check_version, **tls, **options
        )
    try:
        return _Server.from_url(where.url, retry=retry, redis_connect_func=_greet, **options)
    except (ValueError, TypeError) as error:
        raise RedisError(f"'{mask(where.url)}' is not a Redis URL: {error}") from error


class _Server(redis.Redis):
    """A client of one server, whose refusals say which command was refused."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except redis.exceptions.NoPermissionError as error:
            raise name_command(error, args) from error


def _greet(connection: AbstractConnection) -> None:
    """Greets the server on a new connection, as redis-py does, and asks how old it is.

    Raises:
        OldRedisError: It is too old.
    """
    try:
        connection.on_connect()  # type: ignore[no-untyped-call]
    except redis.ResponseError as error:
        if "unknown command" not in str(error):  # HELLO is of 6.0
            raise
    _check_version(connection)


def _check_version(connection: AbstractConnection) -> None:
    connection.send_command("INFO", "server", check_health=False)  # type: ignore[no-untyped-call]
    try:
        said = connection.read_response(disable_decoding=True)
    except redis.exceptions.NoPermissionError:
        return  # this user may not ask
    text = said.decode("ascii", "replace") if isinstance(said, bytes) else str(said)
    rows = (row.partition(":") for row in text.splitlines())
    version = next((value for name, _, value in rows if name == "redis_version"), "")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if len(numbers) == 2 and numbers < OLDEST:
        raise OldRedisError(f"it is Redis {version}; platestream needs 6.2 or newer")
