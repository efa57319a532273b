"""The folder in which rings lie, and what killed processes have left in it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Collection
from pathlib import Path

from platestream.clock import now_ms
from platestream.errors import MessageError, SharedMemoryError
from platestream.pixels.ring import Ring, parts_of

SHARED_MEMORY = Path("/dev/shm")
_FORGOTTEN_MS = 24 * 3600 * 1000
_UNFINISHED_S = 60.0  # a file that is still being made is younger


def ring_folder(setting: Path | None) -> Path:
    """Where rings lie: what the setting says, else a folder of /dev/shm.

    Raises:
        SharedMemoryError: There is no /dev/shm here, and nothing else is set.
    """
    if setting is not None:
        return setting
    if not SHARED_MEMORY.is_dir():
        raise SharedMemoryError(
            "there is no /dev/shm here; name a folder in memory with streams.shm_dir, "
            "or --set streams.pixels=jpeg"
        )
    return SHARED_MEMORY / "platestream"


def make_folder(folder: Path) -> None:
    """Makes the folder, for this user alone, if it is not there.

    Raises:
        SharedMemoryError: It cannot be made or written, or is another user's.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = folder.stat().st_uid
    except OSError as error:
        raise SharedMemoryError(f"cannot make the folder '{folder}': {error.strerror}") from error
    # whoever owns the folder can put other pictures in the place of ours
    if owner not in (0, os.getuid()) or not os.access(folder, os.W_OK | os.X_OK):
        raise SharedMemoryError(
            f"'{folder}' is another user's, or cannot be written; set streams.shm_dir, "
            "or --set streams.pixels=jpeg"
        )


def remove_left_rings(
    folder: Path,
    home: bytes,
    token_of: Callable[[str], str | None],
    *,
    spared: Callable[[str], bool] = lambda name: False,
    served: Collection[str] = (),
) -> list[str]:
    """Removes rings that no process writes and no entry can name any more.

    A ring of this Redis goes when the Redis does not know its token: its entries are gone too.
    Whether another Redis has entries of a ring cannot be asked; it goes after a day.

    A ring is locked only when it is to go: a producer that begins, as all of a fleet may at once,
    must find its own unlocked.

    Args:
        home: Which Redis is ours, as in the rings' headers.
        token_of: The token that Redis has for a camera; None if it knows none.
        spared: Whether a name is one of the caller's own, which it deals with itself.
        served: Cameras whose rings are not even looked at.

    Returns:
        The names of those that were removed.
    """
    removed = []
    for path in list_folder(folder):
        if path.name.startswith(".") and path.name.endswith(".ring.new"):
            if _unfinished_and_left(path):
                removed.append(path.name)
            continue
        parts = parts_of(path.name)
        if parts is None or parts[0] in served:
            continue
        own, (camera, _, token) = spared(path.name), parts
        if not own and token_of(camera) == token:
            continue
        try:
            found = Ring.open(path)
        except MessageError:
            if _of_another_boot_or_none(path):
                removed.append(path.name)
            continue
        if own or not (found.home == home or _is_forgotten(found)):
            continue
        ring = Ring.adopt(path)
        if ring is not None:  # else its producer lives
            ring.remove()
            removed.append(path.name)
    return removed


def _is_forgotten(ring: Ring) -> bool:
    return now_ms() - ring.written_at_ms > _FORGOTTEN_MS


def list_folder(folder: Path) -> list[Path]:
    """What lies in a folder, by name; nothing if it is not there."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def lock(path: Path) -> int | None:
    """Locks a file or folder that nobody has locked; None if somebody has, or it is gone.

    The lock ends when the descriptor is closed, or its process dies.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return None
    return file


def _unfinished_and_left(path: Path) -> bool:
    file = lock(path)
    if file is None:
        return False
    with contextlib.suppress(OSError):
        if time.time() - os.fstat(file).st_mtime > _UNFINISHED_S:
            path.unlink()
            os.close(file)
            return True
    os.close(file)
    return False


def _of_another_boot_or_none(path: Path) -> bool:
    """Removes a file that has a ring's name and is none, or was made before this boot."""
    file = lock(path)
    if file is None:
        return False
    try:
        Ring(path, file, writable=False)
    except MessageError:
        with contextlib.suppress(OSError):
            path.unlink()
            return True
    finally:
        os.close(file)
    return False
