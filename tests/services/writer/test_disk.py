"""The writer and a disk that is full, away, or takes no more."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from platestream.embedded_redis import EmbeddedRedis
from platestream.errors import OutputError
from tests import preloaded
from tests.conftest import fill, wait_until
from tests.services.writer.writing import (
    CAMERA,
    check,
    counts,
    line_ids,
    publish,
    publish_end,
    settings_for,
    shown,
    write_all,
    writing,
)


def test_it_waits_until_its_folder_is_there(client: redis.Redis, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    publish(client, range(101, 111))
    settings = settings_for(folder / "{camera}-{segment}.mp4", segment_s=0.4)
    with writing(client, settings) as session:
        wait_until(lambda: counts(client).get("frames_written", 0) >= 9, what="frames written")
        folder.rename(tmp_path / "away")
        publish(client, range(111, 116))
        wait_until(lambda: counts(client).get("waits_for_disk") == 1, what="waiting")
        assert shown(tmp_path / "away" / "gate-1-00001.mp4") == list(range(101, 111))
        assert any("cannot write" in reason for reason in session.health.is_ready().reasons)
        (tmp_path / "away").rename(folder)
        publish(client, range(116, 131))
        publish_end(client, 130)
        assert not session.stopped()
    check(folder, range(101, 131))
    assert counts(client)["frames_written"] == 30
    assert not any("cannot write" in reason for reason in session.health.is_ready().reasons)


def test_patience_has_an_end_that_names_the_file(client: redis.Redis, tmp_path: Path) -> None:
    publish(client, range(101, 104))
    settings = settings_for(tmp_path / "gone" / "{started}.mp4", patience_s=0.2)
    with pytest.raises(OutputError, match=r"gone/.*No such file.*gave up after"):
        write_all(client, settings)


def test_a_deleted_video_is_said_and_the_next_frames_are_kept(
    client: redis.Redis, tmp_path: Path
) -> None:
    publish(client, range(101, 111))
    with writing(client, settings_for(tmp_path / "a.mp4")):
        wait_until(lambda: counts(client).get("frames_written", 0) >= 9, what="frames written")
        (tmp_path / "a.mp4").unlink()
        publish(client, range(111, 121))
        publish_end(client, 120)
    # 110 was not whole in the file that was deleted, so it had not been acknowledged
    assert shown(tmp_path / "a-00002.mp4") == list(range(110, 121))
    assert line_ids(tmp_path / "a-00002.readings.jsonl") == list(range(110, 121))


@pytest.fixture
def small_disk(mount_disk: Callable[[int], Path]) -> Path:
    """A file system of one mebibyte."""
    return mount_disk(1)


def test_a_full_disk_is_waited_for(client: redis.Redis, small_disk: Path) -> None:
    publish(client, range(101, 111))
    with writing(client, settings_for(small_disk / "a.mp4")):
        wait_until(lambda: counts(client).get("frames_written", 0) >= 9, what="frames written")
        fill(small_disk / "ballast")
        publish(client, range(111, 151))
        wait_until(lambda: counts(client).get("waits_for_disk") == 1, what="waiting")
        playable = shown(small_disk / "a.mp4")
        assert playable == list(range(101, 101 + len(playable)))
        assert counts(client)["frames_written"] <= len(playable) < 50
        (small_disk / "ballast").unlink()
        publish_end(client, 150)
    check(small_disk, range(101, 151))
    assert counts(client)["frames_written"] == 50


def test_a_disk_that_refuses_more_is_waited_for_by_a_process(
    real: redis.Redis, server: EmbeddedRedis, tmp_path: Path
) -> None:
    """The kernel refuses to let files grow (as a quota does), then allows it."""
    import resource

    publish(real, range(101, 181))
    publish_end(real, 180)
    log = (tmp_path / "log").open("w+")
    (tmp_path / "out").mkdir()
    command = [sys.executable, "-m", "services.writer", str(tmp_path / "out" / "a.mp4"), "--once",
               "--camera", CAMERA, "--redis", server.url]  # fmt: skip
    process = preloaded.Popen(preloaded.limited(command, 12_000), stderr=log)
    try:
        wait_until(lambda: counts(real).get("waits_for_disk") == 1, 60, "waiting")
        assert process.poll() is None
        playable = shown(tmp_path / "out" / "a.mp4")
        assert 0 < len(playable) < 80
        assert playable == list(range(101, 101 + len(playable)))
        resource.prlimit(
            process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        )
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    check(tmp_path / "out", range(101, 181))
    said = (tmp_path / "log").read_text()
    assert said.count("waiting for the disk") == 1
    assert "File too large" in said
    assert "takes data again" in said
