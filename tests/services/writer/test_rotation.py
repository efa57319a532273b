"""Old files: which go, which stay, and what is said."""

from __future__ import annotations

import os
import time
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


class Clock:
    """A machine's two clocks, in seconds; the one on the wall can be set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, wall: float) -> None:
        self.steady, self.wall = 5.0, wall
        monkeypatch.setattr(time, "time_ns", lambda: round(1e9 * self.wall))
        monkeypatch.setattr(time, "monotonic_ns", lambda: round(1e9 * self.steady))

    def go_on(self, hours: float) -> None:
        self.steady += 3600 * hours
        self.wall += 3600 * hours


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


DAY = 24.0
KEPT = WriterSettings(keep_hours=2 * DAY)


def test_a_clock_that_is_set_ahead_makes_no_file_old(
    names: OutputNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said once; after ``keep_hours`` whatever was written before is old by any clock."""
    clock, log = Clock(monkeypatch, 1.7e9), Log()
    rotation = Rotation()
    old, young = video(names, 1), video(names, 2)
    os.utime(old, (clock.wall - 3600 * 1.5 * DAY,) * 2)
    os.utime(young, (clock.wall - 60,) * 2)
    clock.wall += 3600 * 3 * DAY
    for hours in (0.0, 1.0):
        clock.go_on(hours)
        assert rotation.remove_old(names, KEPT, set(), log) == 0
    assert log.said == [
        "the clock was set 72.0 h ahead; how old files are is told by the clock as it was, "
        "for 48 h (writer.keep_hours)"
    ]
    clock.go_on(0.5 * DAY)
    assert rotation.remove_old(names, KEPT, set(), log) == 1
    assert left(names) == [young]
    clock.wall -= 3600 * 3 * DAY  # it was a mistake
    clock.go_on(1.4 * DAY)
    assert rotation.remove_old(names, KEPT, set(), log) == 0
    clock.go_on(0.1 * DAY)
    assert rotation.remove_old(names, KEPT, set(), log) == 1
    assert len(log.said) == 1


def test_files_of_a_time_to_come_make_room_before_what_came_since(
    names: OutputNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are of a clock that was set ahead, and has been set back before the others came."""
    clock, log = Clock(monkeypatch, 1.7e9), Log()
    of_then, ahead, ahead_too, since, newest = (video(names, day) for day in range(1, 6))
    hours = {of_then: -90.0, ahead: 24 * 365.0, ahead_too: 24 * 366.0, since: -2.0, newest: -1.0}
    for path, when in hours.items():
        os.utime(path, (clock.wall + 3600 * when,) * 2)
    rotation = Rotation()
    assert rotation.remove_old(names, WriterSettings(keep_mib=2), {newest}, log) == 3
    assert left(names) == [since, newest]

    os.utime(newest, (clock.wall + 3600 * 24 * 365,) * 2)
    os.utime(since, (clock.wall - 3600 * 50,) * 2)
    assert rotation.remove_old(names, KEPT, set(), log) == 1
    assert left(names) == [newest]  # how old it is, nobody knows


def test_a_machine_that_begins_in_1970_keeps_what_it_wrote_before_its_clock_was_set(
    names: OutputNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, log = Clock(monkeypatch, 20.0), Log()
    rotation = Rotation()
    earlier, first, later = video(names, 1), video(names, 2), video(names, 3)
    os.utime(earlier, (1.7e9 - 3600 * 30 * DAY,) * 2)  # before the machine was started
    os.utime(first, (clock.wall,) * 2)
    assert rotation.remove_old(names, KEPT, set(), log) == 0
    clock.wall = 1.7e9
    for _ in range(47):
        clock.go_on(1.0)
        assert rotation.remove_old(names, KEPT, set(), log) == 0
    os.utime(later, (clock.wall,) * 2)
    for _ in range(3):
        clock.go_on(1.0)
        rotation.remove_old(names, KEPT, set(), log)
    assert left(names) == [later]  # now the clock has been right for long enough
