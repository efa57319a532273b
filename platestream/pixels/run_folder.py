"""A folder for the rings of one ``run``, which goes away with it."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from platestream.errors import SharedMemoryError
from platestream.pixels.folder import list_folder, lock, make_folder, ring_folder
from platestream.pixels.ring import free_bytes
from platestream.settings import StreamSettings

_PREFIX = "run-"


class RunFolder:
    """A folder of its own, locked while its run lives; what killed runs left is removed first."""

    def __init__(self, settings: StreamSettings) -> None:
        """Makes it.

        Raises:
            SharedMemoryError: There is no place for it.
        """
        parent = ring_folder(settings.shm_dir)
        make_folder(parent)
        remove_left_folders(parent)
        while True:
            self.path = parent / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
            self.path.mkdir(mode=0o700)
            locked = lock(self.path)
            # between the two steps another run may have taken it for one that was left
            if locked is not None and self.path.exists():
                self._lock = locked
                return

    @classmethod
    def wanted(cls, settings: StreamSettings) -> tuple[RunFolder | None, str]:
        """The folder, if the pictures of a run shall travel through shared memory.

        Returns:
            The folder or None, and why it is None although nothing else was asked for.

        Raises:
            SharedMemoryError: ``shm`` was asked for, and there is no place for it.
        """
        if settings.pixels not in ("auto", "shm"):
            return None, ""
        try:
            folder = cls(settings)
        except SharedMemoryError as error:
            if settings.pixels == "shm":
                raise
            return None, str(error)
        needed = settings.shares.frames + settings.shares.rendered
        free = free_bytes(folder.path)
        if settings.pixels == "auto" and free < needed:
            folder.remove()
            return None, (
                f"{folder.path.parent} has {free} bytes free, and two rings of pictures may take "
                f"{needed}; make it larger (docker: --shm-size), or set a smaller "
                "streams.budget_mib"
            )
        return folder, ""

    def remove(self) -> None:
        """Removes it with all that lies in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def remove_left_folders(parent: Path) -> list[str]:
    """Removes folders of runs that were killed; returns their names.

    A folder in which a ring still has a producer stays: services end a moment after their run.
    """
    removed = []
    for path in list_folder(parent):
        if not path.name.startswith(_PREFIX) or path.is_symlink():
            continue
        file = lock(path)
        if file is None:
            continue
        if not any(_is_locked(ring) for ring in list_folder(path)):
            shutil.rmtree(path, ignore_errors=True)
            removed.append(path.name)
        os.close(file)
    return removed


def _is_locked(path: Path) -> bool:
    file = lock(path)
    if file is None:
        return path.exists()
    os.close(file)
    return False
