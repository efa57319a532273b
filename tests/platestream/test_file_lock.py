"""Files that one process writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from platestream.file_lock import BusyFileError, FileLock

_HOLD = """
import sys, time
from pathlib import Path
from platestream.file_lock import FileLock
lock = FileLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_a_file_that_another_process_holds_is_free_when_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    command = [sys.executable, "-c", _HOLD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(BusyFileError, match="another process holds"):
            FileLock(path, 0.05)
        other.kill()
        FileLock(path, 20).release()


def test_it_is_the_file_that_is_held_and_not_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with pytest.raises(FileNotFoundError):
        FileLock(path)
    path.touch()
    lock = FileLock(path)
    path.rename(tmp_path / "b")
    path.touch()
    FileLock(path).release()
    with pytest.raises(BusyFileError):
        FileLock(tmp_path / "b")
    lock.release()
    lock.release()
    FileLock(tmp_path / "b").release()
