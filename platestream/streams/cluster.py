"""A client of a Redis Cluster that connects when it is first used."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import redis
from redis.cluster import ClusterNode
from redis.exceptions import RedisClusterException

from platestream.streams.refusal import NoClusterError, name_command


class Cluster(redis.RedisCluster):
    """redis-py's client of a cluster, made when it is first used, as its client of a server is.

    redis-py asks for the cluster's nodes when the client is made, and raises if none answers:
    a service that is started before its cluster could not wait for it.
    """

    def __init__(self, nodes: Sequence[tuple[str, int]], **options: Any) -> None:
        """Does not connect yet.

        Args:
            nodes: Some of the cluster's, as host and port; the others are asked for.
            options: As of ``redis.RedisCluster``.
        """
        self._nodes_to_ask = nodes
        self._options = options
        self._making = threading.RLock()
        self._made = False

    def __getattr__(self, name: str) -> Any:
        """What redis-py's constructor would have made, and has not yet.

        Raises:
            redis.ConnectionError: No node answers.
        """
        if name.startswith("__") or name in ("_making", "_made", "_options", "_nodes_to_ask"):
            raise AttributeError(name)
        with self._making:
            if self._made:
                if name in self.__dict__:  # another thread has made it meanwhile
                    return self.__dict__[name]
                raise AttributeError(name)
            self._made = True
            before = set(self.__dict__)
            try:
                startup = [ClusterNode(*node) for node in self._nodes_to_ask]  # type: ignore[no-untyped-call]
                super().__init__(startup_nodes=startup, **self._options)
            except BaseException as error:
                for left in set(self.__dict__) - before:
                    del self.__dict__[left]
                self._made = False
                if isinstance(error, RedisClusterException):
                    raise _why(error) from error
                raise
            return getattr(self, name)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """As redis-py's; refusals say which command was refused."""
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except redis.exceptions.NoPermissionError as error:
            raise name_command(error, args) from error


def _why(error: RedisClusterException) -> Exception:
    """What keeps the nodes from answering, where redis-py only says that none did."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, redis.exceptions.NoPermissionError):
            return name_command(cause, ("CLUSTER SLOTS",))
        if isinstance(cause, redis.ResponseError):
            return NoClusterError("it is no cluster; write redis:// (or rediss://)")
        if isinstance(cause, redis.RedisError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return redis.ConnectionError(str(error))
