"""Old files go when they are too old, or too large together."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from platestream.clock import now_ms
from platestream.outputs import OutputFiles, OutputNames
from platestream.settings import WriterSettings
from platestream.video import unfinished_path
from services.writer.careful_clock import CarefulClock

_TO_COME_MS = 60_000  # less is another machine's clock, of a disk that several write to


class Rotation:
    """A camera's old files; remembers which could not be deleted, and how the clock was set."""

    def __init__(self) -> None:
        self._clock = CarefulClock()
        self._stuck: set[Path] = set()

    def remove_old(
        self, names: OutputNames, settings: WriterSettings, in_use: set[Path], log: Any
    ) -> int:
        """Deletes finished files beyond ``keep_hours`` and ``keep_mib``, oldest first.

        A video and its lines go together. How old a file is says when it was last written, by
        a clock that nobody has set ahead for ``keep_hours`` (``CarefulClock``). What
        is on the disk counts towards ``keep_mib``, also what is not to be deleted, or cannot be.
        A file of a time to come was written before the clock was set back: before all others.

        Args:
            in_use: Videos that must stay, whatever their age.

        Returns:
            How many segments were deleted.
        """
        if not (settings.keep_hours or settings.keep_mib):
            return 0
        to_come_ns = (now_ms() + _TO_COME_MS) * 1_000_000
        there = sorted(
            (row for files in names.found() if (row := _stat(files))),
            key=lambda row: (row[0] < to_come_ns, row[0], str(row[2].video)),
        )
        budget = settings.keep_mib * 2**20
        total = sum(size for _, size, _ in there)
        oldest_ns = self._oldest_ns(settings.keep_hours, log)
        removed = 0
        for written_ns, size, files in there:
            too_old = bool(settings.keep_hours) and written_ns < oldest_ns
            if not (too_old or (budget and total > budget)):
                continue
            if files.video in in_use or not self._remove(files, log):
                continue
            total -= size
            removed += 1
            log.info(f"'{files.video}' was deleted: {'too old' if too_old else 'no room for it'}")
        return removed

    def _oldest_ns(self, keep_hours: float, log: Any) -> int:
        kept_ms = round(keep_hours * 3_600_000)
        latest_ms, step_ms = self._clock.look(kept_ms)
        if kept_ms and step_ms > 0:
            log.warning(
                f"the clock was set {step_ms / 3_600_000:.1f} h ahead; how old files are is told "
                f"by the clock as it was, for {keep_hours:g} h (writer.keep_hours)"
            )
        return (latest_ms - kept_ms) * 1_000_000

    def _remove(self, files: OutputFiles, log: Any) -> bool:
        """Deletes a segment; says once if that cannot be."""
        try:
            files.video.unlink(missing_ok=True)
            files.lines.unlink(missing_ok=True)
        except OSError as error:
            if files.video not in self._stuck:
                log.warning(f"cannot delete '{files.video}': {error.strerror}; others go instead")
                self._stuck.add(files.video)
            return False
        self._stuck.discard(files.video)
        return True


def _stat(files: OutputFiles) -> tuple[int, int, OutputFiles] | None:
    """When a segment was last written (ns since the epoch), its bytes on the disk, itself."""
    try:
        video = files.video.stat()
    except OSError:
        return None
    size = video.st_size
    for beside in (files.lines, unfinished_path(files.video)):  # a copy that is being finished
        with contextlib.suppress(OSError):
            size += beside.stat().st_size
    return video.st_mtime_ns, size, files
