"""Puts what is written onto the disk itself, beside the writing: a power cut takes little."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

from platestream.outputs import OutputFiles

_SAY_S = 60.0


class Syncer:
    """A thread that syncs the files being written, so that no frame waits for the disk.

    What was written is synced within ``every_s`` and the time that syncing takes; files that have
    come to their end are synced in any case.
    """

    def __init__(self, every_s: float, log: Any) -> None:
        """Begins with the first file.

        Args:
            every_s: Seconds; 0: only at their end.
        """
        self._every_s = every_s
        self._log = log
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._written: OutputFiles | None = None  # not synced
        self._due_at = 0.0
        self._ended: list[OutputFiles] = []
        self._folders: set[Path] = set()  # whose entries are synced, for these files:
        self._known: OutputFiles | None = None
        self._said_at = float("-inf")

    def wrote(self, files: OutputFiles) -> None:
        """Notes that something has been written into files; takes no time."""
        if not self._every_s or files == self._written:
            return
        with self._changed:
            if self._written is None:
                self._due_at = time.monotonic() + self._every_s
            self._written = files
            self._wake()

    def ended(self, files: OutputFiles) -> None:
        """Has files synced that are complete, or written no further by this process."""
        with self._changed:
            self._ended.append(files)
            if self._written == files:
                self._written = None
            self._wake()

    def wait(self, seconds: float) -> bool:
        """Waits until all that have ended are synced; False if that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._ended, seconds)

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="sync", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _work(self) -> None:
        while True:
            files = self._next()
            try:
                self._sync(files)
            except Exception:  # the recording must go on
                self._log.exception(f"'{files.video}' cannot be synced; please report it")
            with self._changed:
                if self._ended and self._ended[0] is files:
                    del self._ended[0]
                self._changed.notify_all()

    def _next(self) -> OutputFiles:
        with self._changed:
            while not self._ended:
                left_s = self._due_at - time.monotonic() if self._written else None
                if self._written and left_s is not None and left_s <= 0:
                    files, self._written = self._written, None
                    return files
                self._changed.wait(left_s)
            return self._ended[0]

    def _sync(self, files: OutputFiles) -> None:
        if files != self._known:  # they are new: so are their names in their folders
            self._known, self._folders = files, set()
        began = time.monotonic()
        try:
            for path in (files.lines, files.video):
                if _sync(path) and path.parent not in self._folders:
                    _sync(path.parent)
                    self._folders.add(path.parent)
        except OSError as error:
            self._say(f"'{files.video}' cannot be synced to the disk: {error.strerror}")
            return
        if self._every_s and time.monotonic() - began > self._every_s:
            took_s = time.monotonic() - began
            self._say(f"the disk took {took_s:.0f} s to sync '{files.video}'; it is slow")

    def _say(self, what: str) -> None:
        if time.monotonic() - self._said_at >= _SAY_S:
            self._said_at = time.monotonic()
            self._log.warning(what)


def _sync(path: Path) -> bool:
    """Syncs a file or a folder, whoever has it open; False if it is not there.

    Raises:
        OSError: The disk refuses.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    return True
