"""A file that one process at a time may write; whoever dies lets go of it."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path

from platestream.errors import OutputError

_LOOK_S = 0.02
_BUSY = (errno.EWOULDBLOCK, errno.EACCES)


class BusyFileError(OutputError):
    """Another process holds a file."""


class FileLock:
    """Holds a file that is there, until it is let go of or the process ends.

    It is the file that is held, not its name: one that takes the name's place is another.
    """

    def __init__(self, path: Path, patience_s: float = 0.0) -> None:
        """Takes it.

        Args:
            patience_s: How long another process may take to let go of it.

        Raises:
            BusyFileError: Another process holds it.
            OSError: It is not there, or cannot be opened.
        """
        self._fd: int | None = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        until = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as error:
                if error.errno not in _BUSY:
                    return  # a file system without locks: then there is nothing to go by
                if time.monotonic() >= until:
                    self.release()
                    raise BusyFileError(f"another process holds '{path}'") from error
            time.sleep(_LOOK_S)

    def release(self) -> None:
        """Lets go of it; may be called again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
