"""Old files go when they are too old, or too large together."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

from platestream.outputs import OutputFiles, OutputNames
from platestream.settings import WriterSettings


def remove_old(names: OutputNames, settings: WriterSettings, in_use: set[Path], log: Any) -> int:
    """Deletes a camera's finished files beyond ``keep_hours`` and ``keep_mib``, oldest first.

    A video and its lines go together. How old a file is says when it was last written.

    Args:
        in_use: Videos that must stay, whatever their age.

    Returns:
        How many segments were deleted.
    """
    if not (settings.keep_hours or settings.keep_mib):
        return 0
    there = sorted(
        (row for files in names.found() if (row := _stat(files)) and files.video not in in_use),
        key=lambda row: (row[0], str(row[2].video)),
    )
    budget = settings.keep_mib * 2**20
    total = sum(size for _, size, _ in there)
    oldest_ns = time.time_ns() - round(settings.keep_hours * 3600e9)
    removed = 0
    for written_ns, size, files in there:
        too_old = bool(settings.keep_hours) and written_ns < oldest_ns
        if not (too_old or (budget and total > budget)):
            break
        try:
            files.video.unlink(missing_ok=True)
            files.lines.unlink(missing_ok=True)
        except OSError as error:
            log.warning(f"cannot delete '{files.video}': {error.strerror}")
            break
        total -= size
        removed += 1
        log.info(f"'{files.video}' was deleted: {'too old' if too_old else 'no room for it'}")
    return removed


def _stat(files: OutputFiles) -> tuple[int, int, OutputFiles] | None:
    """When a segment was last written (ns since the epoch), its bytes, itself."""
    try:
        video = files.video.stat()
    except OSError:
        return None
    size = video.st_size
    with contextlib.suppress(OSError):
        size += files.lines.stat().st_size
    return video.st_mtime_ns, size, files
