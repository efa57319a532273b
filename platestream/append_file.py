"""A file that grows by whole pieces, whatever the disk does."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from platestream.errors import OutputError


class DiskError(OutputError):
    """A file cannot be written now (no room, no folder, no permission); it may be later."""


class LostFileError(OutputError):
    """What had been written into a file is no longer there."""


class AppendFile:
    """Appends pieces of bytes: each is in the file whole, or not at all.

    Nothing is opened before the first piece. After an error the file is opened anew by its
    name, so that it is found again on a disk that was away.

    Attributes:
        path: The file.
        size: How many bytes of whole pieces it has.
    """

    def __init__(self, path: Path, kept: int = 0) -> None:
        """Names the file.

        Args:
            kept: How many bytes of what is there stay; the rest is cut off.
        """
        self.path = path
        self.size = kept
        self._fd: int | None = None

    def append(self, piece: bytes) -> None:
        """Adds a piece at the end.

        Raises:
            DiskError: It cannot be written now; nothing of it is in the file, try again later.
            LostFileError: The file was deleted or shortened by somebody else.
        """
        try:
            fd = self._open()
            left = memoryview(piece)
            while left:
                left = left[os.write(fd, left) :]
        except OSError as error:
            self._cut_and_close()
            raise DiskError(f"cannot write '{self.path}': {error.strerror}") from error
        self.size += len(piece)

    def close(self) -> None:
        """Lets go of the file."""
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = None

    def _open(self) -> int:
        if self._fd is not None:
            if os.fstat(self._fd).st_nlink:
                return self._fd
            self.close()
            raise LostFileError(f"'{self.path}' was deleted while it was being written")
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        try:
            fd = os.open(self.path, flags if self.size else flags | os.O_CREAT, 0o666)
        except FileNotFoundError as error:
            if self.size:
                raise LostFileError(f"'{self.path}' is gone") from error
            raise
        self._fd = fd
        there = os.fstat(fd).st_size
        if there < self.size:
            self.close()
            raise LostFileError(
                f"'{self.path}' has {there} bytes; {self.size} had been written into it"
            )
        if there > self.size:
            os.ftruncate(fd, self.size)
        return fd

    def _cut_and_close(self) -> None:
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self.size)
        self.close()
