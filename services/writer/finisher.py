"""Makes ordinary MP4s of segments that are complete, beside the writing of the next."""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from typing import Any

from platestream.append_file import DiskError
from platestream.file_lock import BusyFileError, FileLock
from platestream.video import finish_video, scan, unfinished_path


class Finisher:
    """A thread that rewrites fragmented files with their index in front.

    What it does not come to stays fragmented, and can be played all the same.
    """

    def __init__(self) -> None:
        self._waiting: queue.Queue[tuple[Path, Any]] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._busy: list[Path] = []

    @property
    def busy(self) -> set[Path]:
        """The videos that wait or are being rewritten."""
        return set(self._busy)

    def add(self, video: Path, log: Any) -> None:
        """Has a video rewritten, which nobody writes into any more."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()
        self._busy.append(video)
        self._waiting.put((video, log))

    def wait(self) -> None:
        """Waits until all have been rewritten."""
        self._waiting.join()

    def _work(self) -> None:
        while True:
            video, log = self._waiting.get()
            try:
                lock = FileLock(video)
                try:
                    if scan(video).ends:
                        finish_video(video)
                        log.info(f"{video} is finished")
                finally:
                    lock.release()
            except (FileNotFoundError, BusyFileError) as error:  # deleted; or finished by another
                log.debug(str(error))
            except DiskError as error:
                log.warning(f"{error}; it stays fragmented, and can be played")
            except Exception:  # the recording must go on whatever becomes of this file
                log.exception(f"'{video}' stays fragmented; please report it")
            finally:
                self._busy.remove(video)
                self._waiting.task_done()


def unfinished(videos: list[Path]) -> list[Path]:
    """Which of some videos a writer that died has left fragmented; half a rewriting is removed.

    Raises:
        DiskError: One of them cannot be read now.
    """
    left = []
    for video in videos:
        try:
            lock = FileLock(video)
        except (FileNotFoundError, BusyFileError):
            continue  # another process is at it
        try:
            unfinished_path(video).unlink(missing_ok=True)
            if scan(video).ends:
                left.append(video)
        finally:
            lock.release()
    return left
