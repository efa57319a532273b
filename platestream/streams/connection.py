"""The client, and the errors that mean that the server is away."""

from __future__ import annotations

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from platestream.errors import RedisError

OUTAGE = (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError)
"""What redis-py raises while the server is away or still loading: worth waiting for."""


def connect(url: str, *, timeout_s: float = 15.0, retries: int = 2) -> redis.Redis:
    """Makes a client; it connects when it is first used, and again after a lost connection.

    Args:
        url: ``redis://host:6379/0``, ``rediss://…`` or ``unix:///path/redis.sock``.
        timeout_s: How long an answer may take; blocking reads must be shorter.
        retries: How often a command that failed is sent again, over a new connection.

    Raises:
        RedisError: The URL is not one.
    """
    try:
        return redis.Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=min(3.0, timeout_s),
            retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), retries=retries),
        )
    except ValueError as error:
        raise RedisError(f"'{url}' is not a Redis URL: {error}") from error
