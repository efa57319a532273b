"""The writer between its stream and the disk: segments, crashes, full disks, old files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from platestream import messages, streams
from platestream.append_file import AppendFile, DiskError
from platestream.embedded_redis import EmbeddedRedis
from platestream.errors import OutputError, PlatestreamError, SettingsError
from platestream.messages import End
from platestream.runtime import Session
from platestream.settings import Settings
from platestream.video import VideoSource, scan
from services.writer.service import Writer
from tests.conftest import number_of, wait_until
from tests.services.writer.test_segment import frame

CAMERA = "gate-1"


def publish(
    client: redis.Redis, ids: range, *, mode: str = "file", most: int | None = None
) -> None:
    for frame_id in ids:
        fields = messages.frame_fields(frame(frame_id, 160, 90, mode))
        key = streams.rendered_key(CAMERA)
        oldest = streams.entry_id(max(0, frame_id + 1 - most)) if most else None
        streams.publish(client, key, streams.entry_id(frame_id), fields, oldest_kept=oldest)


def publish_end(client: redis.Redis, last: int) -> None:
    fields = messages.end_fields(End(frame_id=last, frames=last))
    streams.publish(client, streams.rendered_key(CAMERA), streams.end_id(last), fields)


def settings_for(output: Path | str, **writer: object) -> Settings:
    return Settings(
        camera=CAMERA,
        writer={"output": str(output), "once": True, **writer},  # type: ignore[arg-type]
    )


@contextmanager
def writing(client: redis.Redis, settings: Settings) -> Iterator[Session]:
    """A writer at work in a thread; at the end it must be through by itself."""
    session = Session("writer", settings, client)
    failure: list[PlatestreamError] = []

    def work() -> None:
        writer = Writer()
        try:
            writer.run(session)
        except PlatestreamError as error:
            failure.append(error)
        finally:
            writer.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield session
        thread.join(60)
        assert not thread.is_alive()
    finally:
        session.stopping.set()
        thread.join(60)
    if failure:
        raise failure[0]


def write_all(client: redis.Redis, settings: Settings) -> None:
    with writing(client, settings):
        pass


def counts(client: redis.Redis) -> dict[str, int]:
    known = streams.read_hash(client, streams.counts_key(CAMERA))
    return {name: int(value) for name, value in known.items()}


def shown(video: Path) -> list[int]:
    with VideoSource(str(video)) as source:
        return [number_of(f.image) for f in source.frames()]


def line_ids(lines: Path) -> list[int]:
    return [json.loads(line)["frame_id"] for line in lines.read_text().splitlines()]


def check(folder: Path, ids: range) -> list[Path]:
    """All segments together hold every frame and line once, in the order of their names."""
    videos = sorted(folder.glob("*.mp4"))
    assert [number for video in videos for number in shown(video)] == list(ids)
    lines = [video.with_name(f"{video.stem}.readings.jsonl") for video in videos]
    assert [frame_id for path in lines for frame_id in line_ids(path)] == list(ids)
    assert len(list(folder.iterdir())) == 2 * len(videos)  # and nothing is left beside them
    return videos


def test_segments_play_by_themselves_and_follow_one_another(
    client: redis.Redis, tmp_path: Path
) -> None:
    publish(client, range(101, 131))
    publish_end(client, 130)
    write_all(client, settings_for(tmp_path / "{camera}-{started}.mp4", segment_s=0.4))
    videos = check(tmp_path, range(101, 131))
    assert [v.name for v in videos] == [f"gate-1-19700101T000004Z-0000{n}.mp4" for n in (1, 2, 3)]
    for video in videos:
        assert scan(video).finished
        with VideoSource(str(video)) as source:
            times = [f.pts_s for f in source.frames()]
        assert times == pytest.approx([n / 25 for n in range(10)], abs=1e-4)
    known = streams.read_hash(client, streams.recording_key(CAMERA))
    assert (known["state"], known["segment"], known["frames_before"]) == ("finished", "3", "20")
    assert counts(client)["frames_written"] == 30
    pending = client.xpending(streams.rendered_key(CAMERA), streams.WRITER)
    assert pending["pending"] == 0


def test_a_picture_of_another_size_begins_a_segment(client: redis.Redis, tmp_path: Path) -> None:
    publish(client, range(101, 106))
    for frame_id in range(106, 111):
        fields = messages.frame_fields(frame(frame_id, 320, 180))
        streams.publish(client, streams.rendered_key(CAMERA), streams.entry_id(frame_id), fields)
    publish_end(client, 110)
    write_all(client, settings_for(tmp_path / "a.mp4"))
    names = [v.name for v in sorted(tmp_path.glob("*.mp4"), key=lambda v: len(v.name))]
    assert names == ["a.mp4", "a-00002.mp4"]
    assert shown(tmp_path / "a.mp4") == list(range(101, 106))
    assert shown(tmp_path / "a-00002.mp4") == list(range(106, 111))
    with VideoSource(str(tmp_path / "a-00002.mp4")) as video:
        assert (video.width, video.height) == (320, 180)


def test_a_stopped_writer_is_gone_on_with(client: redis.Redis, tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "a-{segment}.mp4", segment_s=0.6)
    publish(client, range(101, 123))
    with writing(client, settings) as session:
        wait_until(lambda: counts(client).get("frames_written", 0) >= 21, what="frames written")
        session.stopping.set()
    publish(client, range(123, 141))
    publish_end(client, 140)
    write_all(client, settings)
    assert len(check(tmp_path, range(101, 141))) == 3
    assert counts(client)["frames_written"] == 40


_KILLED_AGAIN_AND_AGAIN = """
import os, random, signal, sys, time
from platestream import logs, streams
from platestream.runtime import Session
from platestream.settings import Settings
from services.writer.service import Writer

url, output, seed = sys.argv[1:]
random.seed(int(seed))
settings = Settings(
    camera="gate-1",
    log={"level": "error"},
    writer={"output": output, "once": True, "run_id": "1", "segment_s": 0.12},
)
logs.configure(settings.log)
client = streams.connect(url)
written = lambda: int(client.hget(streams.counts_key("gate-1"), "frames_written") or 0)
kills = 0
while True:
    target = written() + random.randint(1, 20)
    child = os.fork()
    if not child:
        writer = Writer()
        writer.run(Session("writer", settings, streams.connect(url)))
        writer.close()
        os._exit(0)
    ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while written() < target and not os.waitid(os.P_PID, child, ended):
        pass
    time.sleep(random.uniform(0, 0.005))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        print(kills)
        sys.exit(os.WEXITSTATUS(status))
    kills += 1
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_any_moment_it_loses_and_repeats_nothing(
    any_server: EmbeddedRedis, tmp_path: Path, seed: int
) -> None:
    client = streams.connect(any_server.url)
    publish(client, range(101, 341))
    publish_end(client, 340)
    output = tmp_path / "out" / "{camera}-{segment}.mp4"
    output.parent.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _KILLED_AGAIN_AND_AGAIN, any_server.url, str(output), str(seed)],
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 8
    assert len(check(output.parent, range(101, 341))) == 80


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


def test_frames_that_the_stream_could_not_keep_are_counted(
    client: redis.Redis, tmp_path: Path
) -> None:
    folder = tmp_path / "disk"
    publish(client, range(101, 111), mode="live")
    publish(client, range(113, 116), mode="live")  # 111 and 112 were skipped by visualize
    with writing(client, settings_for(folder / "{camera}-{segment}.mp4")):
        wait_until(lambda: counts(client).get("waits_for_disk") == 1, what="waiting")
        publish(client, range(116, 161), mode="live", most=10)
        publish_end(client, 160)
        folder.mkdir()
    written = counts(client)["frames_written"]
    lost = counts(client)["trimmed_before_writer"]
    assert written < 20
    # every frame is written, counted as trimmed, or one of the two that visualize skipped
    assert 58 <= written + lost <= 60


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


def test_its_end_says_where_it_is_to_a_redis_that_forgot(
    client: redis.Redis, tmp_path: Path
) -> None:
    key = streams.recording_key(CAMERA)
    publish(client, range(101, 111))
    with writing(client, settings_for(tmp_path / "a-{segment}.mp4", segment_s=0.2)):
        wait_until(lambda: counts(client).get("frames_written", 0) >= 9, what="frames written")
        before = streams.read_hash(client, key)
        client.delete(key)
        publish_end(client, 110)
    known = streams.read_hash(client, key)
    kept = ("template", "started", "segment", "video", "lines", "frames_before")
    assert {name: known[name] for name in kept} == {name: before[name] for name in kept}
    assert (known["state"], known["segment"]) == ("finished", "2")


def test_an_encoder_that_is_not_here_is_said(client: redis.Redis, tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "a.mp4", codec="h264_videotoolbox")
    with pytest.raises(SettingsError, match=r"'h264_videotoolbox' does not work.*what does:.*x264"):
        write_all(client, settings)


def test_a_file_that_is_there_is_kept(client: redis.Redis, tmp_path: Path) -> None:
    (tmp_path / "a-00002.mp4").write_text("precious")
    publish(client, range(101, 121))
    with pytest.raises(OutputError, match="exists already"):
        write_all(client, settings_for(tmp_path / "a.mp4", segment_s=0.4))
    assert (tmp_path / "a-00002.mp4").read_text() == "precious"


def test_old_segments_make_room_and_nothing_else_goes(client: redis.Redis, tmp_path: Path) -> None:
    others = ("gate-10-19700101T000001Z.mp4", "gate-1-holiday.mp4", "notes.txt",
              "gate-1-19700101T000001Z-00001.mp4.bak")  # fmt: skip
    for name in others:
        (tmp_path / name).write_bytes(b"x" * 100_000)
    old = tmp_path / "gate-1-19700101T000001Z.mp4"
    for path in (old, old.with_name("gate-1-19700101T000001Z.readings.jsonl")):
        path.write_bytes(b"x" * 20_000)
        os.utime(path, (1, 1))
    publish(client, range(101, 201))
    publish_end(client, 200)
    output = tmp_path / "{camera}-{started}.mp4"
    write_all(client, settings_for(output, segment_s=0.4, keep_mib=0.03))
    left = sorted(p.name for p in tmp_path.glob("gate-1-1970*Z-*.mp4"))
    assert left[-1] == "gate-1-19700101T000004Z-00010.mp4"
    assert left == [f"gate-1-19700101T000004Z-{n:05d}.mp4" for n in range(11 - len(left), 11)]
    assert not old.exists()
    assert counts(client)["segments_removed"] == 11 - len(left)
    assert sorted(p.name for p in tmp_path.glob("*.jsonl")) == [
        name.replace(".mp4", ".readings.jsonl") for name in left
    ]
    assert all((tmp_path / name).exists() for name in others)


def test_rotation_needs_names_that_are_one_cameras(client: redis.Redis, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be deleted safely"):
        write_all(client, settings_for(tmp_path / "{started}.mp4", keep_hours=1))


def fill(path: Path) -> None:
    """Takes all the room there is on a disk."""
    ballast = AppendFile(path)

    def grow() -> None:
        while True:
            ballast.append(bytes(4096))

    with pytest.raises(DiskError, match="No space left"):
        grow()
    ballast.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one mebibyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here; the test beside covers the rest")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


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
    limits = (12_000, resource.RLIM_INFINITY)  # bytes
    process = subprocess.Popen(
        command,
        stderr=log,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits),
    )
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
