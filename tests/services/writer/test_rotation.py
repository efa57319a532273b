"""Old files: which go, which stay, and what is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from platestream.outputs import OutputNames
from platestream.settings import WriterSettings
from platestream.video import unfinished_path
from services.writer.rotation import Rotation

MIB = 2**20


class Log:
    def __init__(self) -> None:
        self.said: list[str] = []

    def warning(self, text: str) -> None:
        self.said.append(text)

    def info(self, text: str) -> None:
        pass


@pytest.fixture
def names(tmp_path: Path) -> OutputNames:
    return OutputNames(f"{tmp_path}/{{camera}}-{{started}}.mp4", "", "g")


def video(names: OutputNames, day: int) -> Path:
    """A video of 1 MiB, of a day in 2026, long ago."""
    (files,) = [names.files(f"2026010{day}T000000Z", 1, "", numbered=False)]
    files.video.write_bytes(bytes(MIB))
    os.utime(files.video, (1000 + day, 1000 + day))
    return files.video


def left(names: OutputNames) -> list[Path]:
    return [files.video for files in names.found()]


@pytest.mark.parametrize("kept", [{"keep_mib": 2}, {"keep_hours": 1}])
def test_a_file_that_cannot_be_deleted_is_said_once_and_others_go(
    names: OutputNames, monkeypatch: pytest.MonkeyPatch, kept: dict[str, int]
) -> None:
    videos = [video(names, day) for day in range(1, 6)]
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path == videos[0]:
            raise PermissionError(1, "Operation not permitted")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    rotation, log = Rotation(), Log()
    for expected in (3, 0, 0) if "keep_mib" in kept else (4, 0, 0):
        assert rotation.remove_old(names, WriterSettings(**kept), set(), log) == expected
    assert left(names)[0] == videos[0]
    assert log.said == [f"cannot delete '{videos[0]}': Operation not permitted; others go instead"]


def test_what_is_written_and_finished_counts_and_stays(names: OutputNames) -> None:
    """Five of 1 MiB: the last is being written, the one before rewritten, half of that done."""
    videos = [video(names, day) for day in range(1, 6)]
    unfinished_path(videos[3]).write_bytes(bytes(MIB // 2))
    in_use = set(videos[3:])
    settings = WriterSettings(keep_mib=4)
    assert Rotation().remove_old(names, settings, in_use, Log()) == 2
    assert left(names) == videos[2:]
    assert Rotation().remove_old(names, WriterSettings(keep_mib=1), in_use, Log()) == 1
    assert left(names) == videos[3:]
