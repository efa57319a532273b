"""A client's connections, to be cut while somebody waits for an answer."""

from __future__ import annotations

import contextlib
import socket
import weakref
from typing import Any

import redis
from redis.connection import AbstractConnection

_BRIEF_S = 0.2


class OpenConnections:
    """What a client has open; ``streams.connect`` is given it.

    A thread that waits for Redis cannot be told to leave off: its socket is shut down under it,
    and it finds the connection lost, as if Redis had ended.
    """

    def __init__(self) -> None:
        self._open: weakref.WeakSet[AbstractConnection] = weakref.WeakSet()
        self._cut = False

    def opened(self, connection: AbstractConnection) -> None:
        """Takes in a new connection.

        Raises:
            redis.ConnectionError: They have been cut.
        """
        self._open.add(connection)
        if self._cut:
            raise redis.ConnectionError("it was silent, and is asked no more")

    def cut(self, client: redis.Redis | redis.RedisCluster) -> None:
        """Shuts all of them down; a command fails from now on, soon if not at once."""
        self._cut = True
        for options in _options_of(client):  # a connection is asked who it is before it is known
            options |= {"socket_timeout": _BRIEF_S, "socket_connect_timeout": _BRIEF_S}
        for connection in list(self._open):
            one: Any = connection
            if isinstance(one._sock, socket.socket):
                with contextlib.suppress(OSError):
                    # not TLS's own shutdown, which another thread may be in the middle of
                    socket.socket.shutdown(one._sock, socket.SHUT_RDWR)


def _options_of(client: redis.Redis | redis.RedisCluster) -> list[dict[str, Any]]:
    """With what a client's further connections are made."""
    if not isinstance(client, redis.RedisCluster):
        return [client.connection_pool.connection_kwargs]
    nodes = [node.redis_connection for node in client.get_nodes()]  # type: ignore[no-untyped-call]
    pools = [node.connection_pool.connection_kwargs for node in nodes if node is not None]
    return [client.nodes_manager.connection_kwargs, *pools]
