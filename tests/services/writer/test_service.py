"""The writer between its stream and the disk: segments, crashes, old files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from platestream import messages, streams
from platestream.embedded_redis import EmbeddedRedis
from platestream.errors import OutputError, SettingsError
from platestream.messages import RenderedFrame
from platestream.settings import Settings
from platestream.streams import GroupConsumer
from platestream.video import VideoSource, scan
from tests.conftest import wait_until
from tests.services.writer.test_segment import frame
from tests.services.writer.writing import (
    CAMERA,
    check,
    counts,
    publish,
    publish_end,
    settings_for,
    shown,
    write_all,
    writing,
)

KEY = streams.rendered_key(CAMERA)


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


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.soak)])
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


def test_frames_that_the_stream_could_not_keep_are_counted(
    client: redis.Redis, tmp_path: Path
) -> None:
    """The writer was handed some of them; others it never saw. Visualize has skipped two."""
    folder = tmp_path / "disk"
    publish(client, range(101, 111), mode="live")
    publish(client, range(113, 116), mode="live")
    with writing(client, settings_for(folder / "{camera}-{segment}.mp4")):
        wait_until(lambda: counts(client).get("waits_for_disk") == 1, what="waiting")
        publish(client, range(116, 161), mode="live", most=10)
        publish_end(client, 160)
        folder.mkdir()
    assert counts(client)["frames_written"] < 20
    assert counts(client)["frames_written"] + counts(client)["trimmed_before_writer"] == 58


def test_what_a_killed_writer_was_handed_is_counted_once_when_it_is_trimmed(
    client: redis.Redis, tmp_path: Path
) -> None:
    settings = settings_for(tmp_path / "a.mp4")
    publish(client, range(101, 111), mode="live")
    with writing(client, settings) as session:
        wait_until(lambda: counts(client).get("frames_written", 0) >= 9, what="frames written")
        session.stopping.set()
    publish(client, range(111, 121), mode="live")
    GroupConsumer(client, KEY, streams.WRITER, streams.WRITER).read(8, None)  # and was killed
    publish(client, range(121, 221), mode="live", most=20)
    publish_end(client, 220)
    write_all(client, settings)
    found = counts(client)
    assert (found["frames_written"], found["trimmed_before_writer"]) == (30, 90)
    assert "missed_by_writer" not in found


def put(client: redis.Redis, one: RenderedFrame) -> None:
    streams.publish(client, KEY, streams.entry_id(one.frame_id), messages.frame_fields(one))


def test_a_damaged_frame_is_refused_and_nothing_else_is_missing(
    client: redis.Redis, tmp_path: Path
) -> None:
    """The first of a recording and one in its middle; ids are high, and the camera's own."""
    for frame_id in range(1_000_001, 1_000_009):
        one = frame(frame_id, 160, 90)
        if frame_id in (1_000_001, 1_000_005):
            short = one.pixels.model_copy(update={"data": one.pixels.data[:50]})
            one = one.model_copy(update={"pixels": short})
        put(client, one)
    publish_end(client, 1_000_008)
    write_all(client, settings_for(tmp_path / "a.mp4"))
    assert counts(client) == {"refused_by_writer": 2, "frames_written": 6}


def test_frames_of_a_file_that_redis_lost_are_counted_and_those_visualize_counted_are_not(
    client: redis.Redis, tmp_path: Path
) -> None:
    """Of 101 to 120, visualize could not render 104 and 105; Redis has lost 110 to 112."""
    previous = 0
    for frame_id in (*range(101, 104), *range(106, 121)):
        if frame_id not in range(110, 113):
            one = frame(frame_id, 160, 90)
            put(client, one.model_copy(update={"previous_frame_id": previous}))
        previous = frame_id
    publish_end(client, 120)
    write_all(client, settings_for(tmp_path / "a.mp4"))
    assert counts(client) == {"missed_by_writer": 3, "frames_written": 15}


def test_frames_lost_between_two_files_are_counted(client: redis.Redis, tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "{camera}-{started}.mp4")
    publish(client, range(101, 106))
    publish_end(client, 105)
    write_all(client, settings)
    publish(client, range(128, 131))
    publish_end(client, 130)
    write_all(client, settings)
    assert counts(client) == {"missed_by_writer": 22, "frames_written": 8}


@contextmanager
def lost_last_moments(client: redis.Redis) -> Iterator[None]:
    """What Redis holds goes back to what it held before, as after a power cut."""
    keys = (KEY, streams.recording_key(CAMERA), streams.counts_key(CAMERA))
    before = {key: client.dump(key) for key in keys}
    yield
    client.delete(*keys)
    for key, held in before.items():
        if held is not None:
            client.restore(key, 0, held)


def write_until(client: redis.Redis, settings: Settings, frames: int) -> None:
    """Has so many written, in all, and the writer stopped; until then it holds the last."""
    with writing(client, settings) as session:
        wait_until(lambda: counts(client).get("frames_written", 0) >= frames - 1, what="frames")
        session.stopping.set()


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("name", ["{camera}-{started}.mp4", "a-{segment}.mp4"])
def test_segments_that_redis_has_forgotten_are_gone_on_with(
    real: redis.Redis, tmp_path: Path, name: str, force: bool
) -> None:
    """Redis forgets two switches of segments, and the writer is started anew, too."""
    settings = settings_for(tmp_path / name, segment_s=0.4, force=force)
    publish(real, range(101, 107))
    write_until(real, settings, 6)
    with lost_last_moments(real):
        publish(real, range(107, 126))
        write_until(real, settings, 25)
        assert streams.read_hash(real, streams.recording_key(CAMERA))["segment"] == "3"
    publish(real, range(107, 141))
    publish_end(real, 140)
    write_all(real, settings)
    assert len(check(tmp_path, range(101, 141))) == 4
    known = streams.read_hash(real, streams.recording_key(CAMERA))
    assert (known["segment"], known["frames_before"]) == ("4", "30")
    assert counts(real) == {"frames_written": 40}


def test_a_recording_that_redis_has_forgotten_is_gone_on_with(
    real: redis.Redis, tmp_path: Path
) -> None:
    settings = settings_for(tmp_path / "{camera}-{started}.mp4", segment_s=0.4)
    with lost_last_moments(real):
        publish(real, range(101, 116))
        write_until(real, settings, 15)
    publish(real, range(101, 131))
    publish_end(real, 130)
    write_all(real, settings)
    assert len(check(tmp_path, range(101, 131))) == 3
    assert counts(real) == {"frames_written": 30}


def test_recordings_that_begin_in_the_same_second_are_both_kept(
    client: redis.Redis, tmp_path: Path
) -> None:
    settings = settings_for(tmp_path / "{camera}-{started}.mp4")
    for first, last in ((101, 105), (106, 110)):
        publish(client, range(first, last + 1))
        publish_end(client, last)
        write_all(client, settings)
    assert shown(tmp_path / "gate-1-19700101T000004Z.mp4") == list(range(101, 106))
    assert shown(tmp_path / "gate-1-19700101T000004Z-00002.mp4") == list(range(106, 111))


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
    """As a later segment's name it is passed over; as the only name that there is, refused."""
    (tmp_path / "a-00002.mp4").write_text("precious")
    publish(client, range(101, 121))
    publish_end(client, 120)
    write_all(client, settings_for(tmp_path / "a.mp4", segment_s=0.4))
    assert (tmp_path / "a-00002.mp4").read_text() == "precious"
    assert shown(tmp_path / "a-00001.mp4") == list(range(101, 111))
    assert shown(tmp_path / "a-00003.mp4") == list(range(111, 121))
    publish(client, range(121, 131))
    (tmp_path / "b.mp4").write_text("precious, too")
    with pytest.raises(OutputError, match="exists already"):
        write_all(client, settings_for(tmp_path / "b.mp4"))
    assert (tmp_path / "b.mp4").read_text() == "precious, too"


def test_another_recordings_segments_are_not_gone_on_with(
    client: redis.Redis, tmp_path: Path
) -> None:
    """Older files of the next names, with ids that come after; a Redis that was emptied."""
    settings = settings_for(tmp_path / "a-{segment}.mp4", segment_s=0.4)
    old = tmp_path / "a-00002.readings.jsonl"
    old.write_text('{"frame_id": 900, "pts_s": 0.0}\n')
    os.utime(old, (1, 1))
    publish(client, range(101, 108))
    write_until(client, settings, 7)
    publish(client, range(108, 121))
    publish_end(client, 120)
    write_all(client, settings)
    assert old.read_text().count("\n") == 1
    assert shown(tmp_path / "a-00001.mp4") == list(range(101, 111))
    assert shown(tmp_path / "a-00003.mp4") == list(range(111, 121))


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
