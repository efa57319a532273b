"""What is written reaches the disk itself, and no frame waits for that."""

from __future__ import annotations

import errno
import os
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import structlog
from structlog.testing import capture_logs

from platestream.outputs import OutputFiles
from services.writer.syncer import Syncer
from tests.conftest import wait_until
from tests.services.writer.writing import (
    check,
    counts,
    publish,
    publish_end,
    settings_for,
    writing,
)


class Disk:
    """Notes which files are synced; holds syncing up, or refuses it, on demand."""

    def __init__(self) -> None:
        self.synced: Counter[str] = Counter()
        self.going = threading.Event()
        self.going.set()
        self.refuses = False
        self._fsync = os.fsync

    def fsync(self, fd: int) -> None:
        name = os.readlink(f"/proc/self/fd/{fd}")
        self.synced[Path(name).name] += 1
        assert self.going.wait(60)
        if self.refuses:
            raise OSError(errno.EIO, "Input/output error")
        self._fsync(fd)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    one = Disk()
    monkeypatch.setattr(os, "fsync", one.fsync)
    yield one
    one.going.set()


@pytest.fixture
def files(tmp_path: Path) -> OutputFiles:
    made = OutputFiles(tmp_path / "a.mp4", tmp_path / "a.jsonl")
    made.video.write_bytes(b"video")
    made.lines.write_bytes(b"lines")
    return made


def test_video_lines_and_their_names_are_synced_while_they_are_written(
    client: redis.Redis, tmp_path: Path, disk: Disk
) -> None:
    publish(client, range(101, 111))
    with writing(client, settings_for(tmp_path / "a.mp4", fsync_s=0.05)):
        wait_until(lambda: disk.synced["a.mp4"] >= 1, what="the first sync")
        wait_until(lambda: disk.synced[tmp_path.name] == 1, what="the folder synced")
        before = disk.synced["a.mp4"]
        publish(client, range(111, 121))
        wait_until(lambda: disk.synced["a.mp4"] > before, what="another sync")
        publish_end(client, 120)
    check(tmp_path, range(101, 121))
    assert disk.synced["a.readings.jsonl"] >= 2
    assert disk.synced[tmp_path.name] == 1


def test_without_an_interval_files_are_synced_at_their_end(
    client: redis.Redis, tmp_path: Path, disk: Disk
) -> None:
    publish(client, range(101, 121))
    with writing(client, settings_for(tmp_path / "{segment}.mp4", fsync_s=0, segment_s=0.4)):
        wait_until(lambda: disk.synced["00001.readings.jsonl"] == 1, what="the first segment")
        wait_until(lambda: counts(client).get("frames_written", 0) >= 19, what="frames written")
        assert disk.synced["00002.readings.jsonl"] == 0
        publish_end(client, 120)
    assert disk.synced["00001.readings.jsonl"] == disk.synced["00002.readings.jsonl"] == 1


def test_a_writer_that_is_stopped_syncs_what_it_leaves(
    client: redis.Redis, tmp_path: Path, disk: Disk
) -> None:
    publish(client, range(101, 111))
    with writing(client, settings_for(tmp_path / "a.mp4", fsync_s=3600)) as session:
        wait_until(lambda: counts(client).get("frames_written", 0) >= 9, what="frames written")
        assert not disk.synced
        session.stopping.set()
    assert (disk.synced["a.mp4"], disk.synced["a.readings.jsonl"]) == (1, 1)


def test_a_slow_disk_holds_no_frame_up(client: redis.Redis, tmp_path: Path, disk: Disk) -> None:
    disk.going.clear()
    publish(client, range(101, 104))
    with writing(client, settings_for(tmp_path / "a.mp4", fsync_s=0.05)):
        wait_until(lambda: sum(disk.synced.values()) == 1, what="a sync under way")
        publish(client, range(104, 131))
        wait_until(lambda: counts(client).get("frames_written", 0) >= 29, what="frames written")
        assert sum(disk.synced.values()) == 1  # still the same
        disk.going.set()
        publish_end(client, 130)
    check(tmp_path, range(101, 131))


def test_a_disk_that_refuses_or_dawdles_is_said_once_a_minute(
    files: OutputFiles, disk: Disk
) -> None:
    with capture_logs() as logs:
        syncer = Syncer(1e-6, structlog.get_logger())
        disk.refuses = True
        for _ in range(3):
            syncer.ended(files)
            assert syncer.wait(30)
        assert [log["event"] for log in logs] == [
            f"'{files.video}' cannot be synced to the disk: Input/output error"
        ]
        disk.refuses = False
        late = Syncer(1e-6, structlog.get_logger())
        late.ended(files)
        assert late.wait(30)
    assert "it is slow" in logs[-1]["event"]
    assert len(logs) == 2


def test_files_that_are_gone_are_no_error(files: OutputFiles, disk: Disk) -> None:
    files.video.unlink()
    with capture_logs() as logs:
        syncer = Syncer(5, structlog.get_logger())
        syncer.ended(files)
        assert syncer.wait(30)
    assert not logs
    assert disk.synced == {"a.jsonl": 1, files.lines.parent.name: 1}


def test_a_disk_that_hangs_is_not_waited_for_for_ever(files: OutputFiles, disk: Disk) -> None:
    disk.going.clear()
    syncer = Syncer(5, structlog.get_logger())
    syncer.ended(files)
    assert not syncer.wait(0.05)
    disk.going.set()
    assert syncer.wait(30)
