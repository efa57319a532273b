"""Many cameras: services with ``--cameras``, their file edited while they run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
import redis

from platestream import streams
from platestream.embedded_redis import EmbeddedRedis
from platestream.probe import probe
from platestream.streams import GroupConsumer
from platestream.video import VideoSource
from tests import conftest, preloaded
from tests.conftest import fill
from tests.numbered import number_of
from tests.services.writer.writing import CAMERA, publish
from tests.sources import free_port

PATIENCE_S = 60.0
wait_until = partial(conftest.wait_until, pause_s=0.05)  # services are asked over HTTP


class Fleet:
    """A service with ``--cameras`` under way, and what it has logged."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    def said(self, *, level: str | None = None) -> list[str]:
        lines = self._log.read_text().splitlines()
        entries = [json.loads(line) for line in lines if line.endswith("}")]
        return [e["event"] for e in entries if level in (None, e["level"])]

    def says(self, words: str) -> bool:
        return any(words in event for event in self.said())

    def children(self) -> dict[str, int]:
        """Process ids by camera."""
        return children_of(self.process.pid)

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0


def children_of(pid: int) -> dict[str, int]:
    found = {}
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    for child in map(int, text.split()):
        try:
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        except FileNotFoundError:
            continue
        if b"--camera" in words:
            found[words[words.index(b"--camera") + 1].decode()] = child
    return found


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextmanager
def fleet(service: str, path: Path, url: str, *extra: str) -> Iterator[Fleet]:
    """A service for all cameras of a file; nothing of it is left behind."""
    log = path.with_name(f"{service}.log")
    command = [sys.executable, "-m", f"services.{service}", *extra]
    command += ["--cameras", str(path), "--redis", url]
    with log.open("w") as file:
        process = preloaded.Popen(command, stderr=file, stdout=file, cwd=path.parent)
    children: dict[str, int] = {}
    try:
        yield Fleet(process, log)
        if process.poll() is None:
            children = children_of(process.pid)
    except BaseException:
        print(f"--- {service}\n{log.read_text()}")
        raise
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()
            process.wait()
    assert not any(map(runs, children.values()))


def write_cameras(path: Path, sources: dict[str, Path], more: str = "") -> None:
    """Writes the file of cameras: clips, played live."""
    text = "".join(
        f"[cameras.{name}]\nsource = '{source}'\ncapture.live = true\n"
        for name, source in sources.items()
    )
    new = path.with_suffix(".new")
    new.write_text(text + more)
    new.rename(path)


def take_frames(client: redis.Redis, *cameras: str) -> None:
    """Does what OCR does to the stream of frames: takes them and is done with them."""
    for camera in cameras:
        consumer = GroupConsumer(client, streams.frames_key(camera), streams.OCR, "test")
        consumer.join()
        while taken := consumer.read(1000, None):
            consumer.ack(*(delivery.id for delivery in taken))


def written(client: redis.Redis, camera: str) -> int:
    counts = streams.read_hash(client, streams.counts_key(camera))
    return int(counts.get("frames_written", 0))


def finished(client: redis.Redis, camera: str) -> bool:
    return streams.is_through(client, camera, streams.WRITER) and written(client, camera) > 0


def frames_of(folder: Path, camera: str) -> list[int]:
    """The numbers in a camera's one video; its lines say the same."""
    (video,) = folder.glob(f"{camera}-*.mp4")
    (lines,) = folder.glob(f"{camera}-*.jsonl")
    with VideoSource(str(video)) as opened:
        numbers = [number_of(frame.image) for frame in opened.frames()]
    ids = [json.loads(line)["frame_id"] for line in lines.read_text().splitlines()]
    assert ids == list(range(1, len(numbers) + 1))
    return numbers


@pytest.mark.soak
def test_cameras_come_and_go_without_a_restart(
    make_video: Callable[..., Path],
    make_long_video: Callable[[Path, int], Path],
    tmp_path: Path,
    server: EmbeddedRedis,
) -> None:
    """Three cameras; a fourth is added and one removed while they play, and one process dies.

    The backlog that visualize may have holds all, so that what a death delays is not skipped.
    """
    client = streams.connect(server.url)
    short = make_video(tmp_path / "short.mp4", frames=100)
    long = make_long_video(tmp_path / "long.mp4", 80)  # there to be removed
    path, out = tmp_path / "cameras.toml", tmp_path / "video"
    out.mkdir()
    sources = {"north": short, "east": short, "south": long}
    write_cameras(path, sources)
    with ExitStack() as stack:
        capture, _, _, _ = fleets = [
            stack.enter_context(fleet(service, path, server.url, *extra))
            for service, *extra in (
                ("capture",),
                ("track",),
                ("visualize", "--set", "visualize.live_backlog_frames=1000"),
                ("writer", f"{out}/{{camera}}-{{started}}.mp4"),
            )
        ]
        wait_until(lambda: written(client, "south") >= 20, PATIENCE_S, "frames of south")
        for one in fleets[1:]:
            assert set(one.children()) == {"north", "east", "south"}
        os.kill(fleets[2].children()["south"], signal.SIGKILL)
        before = written(client, "south")

        path.write_text("[cameras.north]\nsource = ")  # nobody is harmed by half an edit
        wait_until(lambda: all(f.says("not valid TOML") for f in fleets), PATIENCE_S, "a word")
        wait_until(lambda: written(client, "south") > before + 10, PATIENCE_S, "south going on")

        del sources["south"]
        write_cameras(path, sources | {"west": short})
        at_removal = written(client, "south")

        def all_has_come() -> bool:
            take_frames(client, "north", "east", "south", "west")
            return all(finished(client, name) for name in ("north", "east", "south", "west"))

        wait_until(all_has_come, PATIENCE_S, "four videos")

        def south_has_gone() -> bool:
            take_frames(client, "south")
            return client.smembers(streams.CAMERAS_KEY) == {b"north", b"east", b"west"}

        wait_until(south_has_gone, PATIENCE_S, "south out of the set of cameras")
        expected = {"north", "east", "west"}
        wait_until(
            lambda: all(set(f.children()) == expected for f in fleets[1:]), PATIENCE_S, "processes"
        )
        wait_until(lambda: not capture.children(), PATIENCE_S, "all clips at their end")
        for name in expected:
            assert frames_of(out, name) == list(range(100))
        south = frames_of(out, "south")
        assert south == [number % 50 for number in range(len(south))]  # again and again the same
        assert at_removal <= len(south) < 2000
        assert client.xlen(streams.frames_key("south")) == 0
        assert client.xlen(streams.rendered_key("south")) == 0
        for one in fleets:
            assert not any("was not finished" in event for event in one.said())
            one.end()


def test_a_camera_that_fails_harms_no_other(
    make_video: Callable[..., Path], tmp_path: Path, server: EmbeddedRedis
) -> None:
    """A file that is missing is said, with the camera; mended in the file, it is taken up."""
    client = streams.connect(server.url)
    good = make_video(tmp_path / "good.mp4", frames=25)
    path = tmp_path / "cameras.toml"
    write_cameras(path, {"good": good, "bad": tmp_path / "none.mp4"})
    with fleet("capture", path, server.url) as capture:
        wait_until(lambda: capture.says("its source has ended"), PATIENCE_S, "good's end")
        wait_until(lambda: capture.says("camera bad: no such file"), PATIENCE_S, "a word of bad")
        assert sum("no such file" in event for event in capture.said()) == 1
        write_cameras(path, {"good": good, "bad": good})
        ended = lambda name: streams.read_hash(client, streams.camera_key(name)).get("ended")  # noqa: E731
        wait_until(lambda: ended("bad") == "1", PATIENCE_S, "the clip of bad")
        # an edit of another camera does not play a clip again that has ended
        assert streams.last_frame_id(client, "good") == 25
        capture.end()


def test_once_ends_when_all_clips_have_ended(
    make_video: Callable[..., Path], tmp_path: Path, server: EmbeddedRedis
) -> None:
    client = streams.connect(server.url)
    good = make_video(tmp_path / "good.mp4", frames=10)
    path = tmp_path / "cameras.toml"
    write_cameras(path, {"a": good, "b": good})
    with fleet("capture", path, server.url, "--once") as capture:
        assert capture.process.wait(PATIENCE_S) == 0
    write_cameras(path, {"a": good, "b": tmp_path / "none.mp4"})
    with fleet("capture", path, server.url, "--once") as capture:
        assert capture.process.wait(PATIENCE_S) == 2
    assert [streams.last_frame_id(client, name) for name in ("a", "b")] == [20, 10]


def test_a_changed_setting_restarts_its_service_alone(
    make_video: Callable[..., Path], tmp_path: Path, server: EmbeddedRedis
) -> None:
    clip = make_video(tmp_path / "clip.mp4", frames=10)
    path = tmp_path / "cameras.toml"
    write_cameras(path, {"a": clip, "b": clip})
    with fleet("visualize", path, server.url) as one:
        wait_until(lambda: len(one.children()) == 2, PATIENCE_S, "two processes")
        before = one.children()
        write_cameras(
            path, {"a": clip, "b": clip}, "visualize.stale_after_ms = 500\nwriter.crf = 30\n"
        )
        wait_until(lambda: one.children().get("b") not in (None, before["b"]), PATIENCE_S, "b anew")
        assert one.children()["a"] == before["a"]
        again = one.children()
        write_cameras(
            path,
            {"a": clip, "b": clip, "c": clip},
        )
        wait_until(lambda: "c" in one.children(), PATIENCE_S, "c")
        assert one.children()["a"] == again["a"]
        one.end()


def test_a_fleet_that_is_killed_leaves_no_process(
    make_video: Callable[..., Path], tmp_path: Path, server: EmbeddedRedis
) -> None:
    clip = make_video(tmp_path / "clip.mp4", frames=10)
    path = tmp_path / "cameras.toml"
    write_cameras(path, {"a": clip, "b": clip})
    with fleet("track", path, server.url) as one:
        wait_until(lambda: len(one.children()) == 2, PATIENCE_S, "two processes")
        children = one.children()
        one.process.kill()
        one.process.wait()
        wait_until(lambda: not any(map(runs, children.values())), PATIENCE_S, "no process left")


@pytest.mark.parametrize(
    ("text", "said"),
    [("[cameras.a]\nsorce = 'x'", "did you mean 'source'"), ("", "has no camera")],
)
def test_a_wrong_file_is_refused_at_the_start(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "cameras.toml"
    path.write_text(text)
    command = [sys.executable, "-m", "services.track", "--cameras", str(path)]
    done = preloaded.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def port() -> int:
    """One of the loopback that nobody listens on."""
    return free_port()


def _ready(port: int) -> tuple[bool, str]:
    return probe(f"http://127.0.0.1:{port}/readyz")


def test_a_camera_whose_disk_is_full_is_named_by_its_fleet(
    tmp_path: Path,
    mount_disk: Callable[[int], Path],
    any_server: EmbeddedRedis,
    port: int,
) -> None:
    client = streams.connect(any_server.url)
    disk = mount_disk(1)
    path = tmp_path / "cameras.toml"
    write_cameras(path, {CAMERA: tmp_path / "any.mp4"})
    extra = [str(disk / "{camera}.mp4"), "--set", f"http.port={port}"]
    publish(client, range(101, 111))
    with fleet("writer", path, any_server.url, *extra) as writers:
        wait_until(lambda: written(client, CAMERA) >= 9, PATIENCE_S, "frames written")
        wait_until(lambda: _ready(port)[0], 10, "ready")
        fill(disk / "ballast")
        publish(client, range(111, 151))
        wait_until(lambda: not _ready(port)[0], 20, "not ready")
        said = _ready(port)[1]
        assert f"camera {CAMERA}: " in said
        assert "No space left on device" in said
        assert probe(f"http://127.0.0.1:{port}/healthz")[0]
        (disk / "ballast").unlink()
        wait_until(lambda: _ready(port)[0], 20, "ready again")
        writers.end()


def test_a_process_that_hangs_is_named_and_started_again(
    tmp_path: Path, any_server: EmbeddedRedis, port: int
) -> None:
    path = tmp_path / "cameras.toml"
    write_cameras(path, {"north": tmp_path / "any.mp4", "south": tmp_path / "any.mp4"})
    extra = ["--set", f"http.port={port}", "--set", "http.hang_s=9"]
    with fleet("visualize", path, any_server.url, *extra) as drawing:
        wait_until(lambda: _ready(port) == (True, "visualize of all is well"), PATIENCE_S)
        before = drawing.children()
        os.kill(before["north"], signal.SIGSTOP)
        silent = "camera north: no word from its process"
        wait_until(lambda: silent in _ready(port)[1], 20, "a word of it")
        wait_until(lambda: drawing.says("camera north: no word from its process for 9 s; killed"))
        assert not runs(before["north"])
        assert probe(f"http://127.0.0.1:{port}/healthz")[0]
        wait_until(lambda: _ready(port) == (True, "visualize of all is well"), PATIENCE_S)
        after = drawing.children()
        assert after["north"] != before["north"]
        assert after["south"] == before["south"]
        drawing.end()


def test_processes_have_the_time_to_stop_that_the_settings_give(
    tmp_path: Path, any_server: EmbeddedRedis, port: int
) -> None:
    path = tmp_path / "cameras.toml"
    write_cameras(path, {"north": tmp_path / "any.mp4"})
    extra = ["--set", f"http.port={port}", "--set", "fleet.stop_s=1.5"]
    with fleet("track", path, any_server.url, *extra) as tracking:
        wait_until(lambda: _ready(port)[0], PATIENCE_S, "ready")
        stopped = tracking.children()["north"]
        os.kill(stopped, signal.SIGSTOP)
        began = time.monotonic()
        tracking.end()
        assert 1.5 <= time.monotonic() - began < 8
        assert not runs(stopped)


@contextmanager
def _two_cameras(clip: Path, folder: Path, url: str) -> Iterator[dict[str, Fleet]]:
    """Fleets that have written some frames of two cameras, without OCR."""
    path, client = folder / "cameras.toml", streams.connect(url)
    write_cameras(path, {"a": clip, "b": clip})
    output = ("--set", f"writer.output={folder}/{{camera}}-{{started}}.mp4")
    with ExitStack() as stack:
        fleets = {
            name: stack.enter_context(fleet(name, path, url, *words))
            for name, words in {"capture": (), "visualize": (), "writer": output}.items()
        }
        wait_until(lambda: min(written(client, c) for c in "ab") >= 20, PATIENCE_S, "frames")
        yield fleets


def _frames_written(folder: Path, camera: str) -> int:
    """How many frames a camera's one video has; as many as lines, each of a frame of its own."""
    (video,) = folder.glob(f"{camera}-*.mp4")
    (lines,) = folder.glob(f"{camera}-*.jsonl")
    ids = [json.loads(line)["frame_id"] for line in lines.read_text().splitlines()]
    assert ids == sorted(set(ids))
    with VideoSource(str(video)) as opened:
        assert sum(1 for _ in opened.frames()) == len(ids)
    return len(ids)


def test_fleets_end_soon_though_redis_is_silent(
    make_long_video: Callable[[Path, int], Path], tmp_path: Path, silent: EmbeddedRedis
) -> None:
    clip = make_long_video(tmp_path / "clip.mp4", 120)
    with _two_cameras(clip, tmp_path, silent.url) as fleets:
        silent.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        for one in fleets.values():
            one.process.send_signal(signal.SIGTERM)
        assert [one.process.wait(60) for one in fleets.values()] == [0, 0, 0]
        assert time.monotonic() - began < 20  # some 4 s with nothing else on the machine
        assert not any(one.says("killed") for one in fleets.values())
    assert all(_frames_written(tmp_path, camera) >= 20 for camera in "ab")


@pytest.mark.soak
def test_fleets_go_on_when_a_silent_redis_wakes(
    make_long_video: Callable[[Path, int], Path], tmp_path: Path, silent: EmbeddedRedis
) -> None:
    """Of what came meanwhile all is counted; no process is taken for hung."""
    client, clip = streams.connect(silent.url), make_long_video(tmp_path / "clip.mp4", 120)
    with _two_cameras(clip, tmp_path, silent.url) as fleets:
        before = {name: one.children() for name, one in fleets.items()}
        silent.process.send_signal(signal.SIGSTOP)
        time.sleep(35)  # the fault itself: longer than an answer may take, and than http.hang_s
        silent.process.send_signal(signal.SIGCONT)
        then = {camera: written(client, camera) for camera in "ab"}
        wait_until(
            lambda: all(written(client, c) > then[c] + 25 for c in "ab"), PATIENCE_S, "more frames"
        )
        assert {name: one.children() for name, one in fleets.items()} == before
        fleets["capture"].end()
        wait_until(lambda: all(finished(client, c) for c in "ab"), PATIENCE_S, "the ends")
    for camera in "ab":
        found = streams.read_counts(client, camera)
        lost = sum(
            number for name, number in found.items() if name.endswith(("_visualize", "_writer"))
        )
        assert found["frames_in"] == found["frames_written"] + lost
        assert found["skipped_by_capture"] > 25 * 30
        assert _frames_written(tmp_path, camera) == found["frames_written"]
