"""No thread or process to be had: a limit of the container, of the pod, of the user."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from platestream.errors import PlatestreamError

_FILES = (
    "no process can be started: the limit of open files is reached (`ulimit -n`; of a container "
    "ulimits: nofile); raise it, or give fewer cameras to one service"
)
_MEMORY = (
    "no process can be started: there is no memory for one more (of a container its limit of "
    "memory); raise it, or give fewer cameras to one service"
)


class StartError(PlatestreamError):
    """A process cannot be started; the same may work again later."""


class ProcessLimitError(StartError):
    """There may be no more threads and processes; the same may work again later."""

    def __init__(self) -> None:
        super().__init__(
            "no thread or process can be started: the limit of processes, which counts threads, "
            "is reached (of a container pids_limit, PIDS_LIMIT in .env; of a pod podPidsLimit; of "
            "a user `ulimit -u`); raise it, or give fewer cameras to one service"
        )


def is_reached(error: BaseException) -> bool:
    """Whether an error says that there may be no more threads.

    Of a process that is to be started, it is an OSError: see ``starting``.
    """
    return isinstance(error, RuntimeError) and "can't start new thread" in str(error)


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """For starting a process, and opening what it is heard through.

    Raises:
        StartError: It could not be started; says which limit is reached, where it is one.
    """
    try:
        yield
    except OSError as error:
        raise _why(error) from error
    except RuntimeError as error:
        if is_reached(error):
            raise ProcessLimitError from error
        raise


def _why(error: OSError) -> StartError:
    if error.errno == errno.EAGAIN:
        return ProcessLimitError()
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return StartError(_FILES)
    if error.errno == errno.ENOMEM:
        return StartError(_MEMORY)
    return StartError(f"no process can be started: {error}")
