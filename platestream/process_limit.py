"""No thread or process to be had: a limit of the container, of the pod or of the user."""

from __future__ import annotations

import errno

from platestream.errors import PlatestreamError


class ProcessLimitError(PlatestreamError):
    """There may be no more threads and processes; the same may work again later."""

    def __init__(self) -> None:
        super().__init__(
            "no thread or process can be started: the limit of processes, which counts threads, "
            "is reached (of a container pids_limit, PIDS_LIMIT in .env; of a pod podPidsLimit; of "
            "a user `ulimit -u`); raise it, or give fewer cameras to one service"
        )


def is_reached(error: BaseException) -> bool:
    """Whether an error says that there may be no more threads.

    Of a process that is to be started, it is an OSError: see ``cannot_fork``.
    """
    return isinstance(error, RuntimeError) and "can't start new thread" in str(error)


def cannot_fork(error: OSError) -> bool:
    """Whether a process could not be started as there may be no more of them."""
    return error.errno == errno.EAGAIN
