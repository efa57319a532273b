"""Redis ended and started again under a run: with all, with some, with nothing of what it held."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from platestream import streams
from platestream.embedded_redis import EmbeddedRedis
from platestream.video import VideoSource
from tests import preloaded
from tests.conftest import fill, wait_until
from tests.end_to_end.running import (
    CAMERA,
    FRAMES,
    DurableRedis,
    Written,
    counts,
    ended,
    finish,
    running,
    runs,
    wait_for,
    written,
)
from tests.numbered import number_of
from tests.sources import free_port

pytestmark = pytest.mark.usefixtures("blind_ocr")
SOAK = pytest.mark.soak


@pytest.fixture
def durable(redis_program: str, tmp_path: Path) -> Iterator[DurableRedis]:
    server = DurableRedis(redis_program, tmp_path)
    yield server
    server.process.kill()
    server.process.wait()


def restarts(run: subprocess.Popen[str], server: DurableRedis, moment: int) -> bool:
    """Waits for a moment: so many frames written, or the end published."""
    if moment == FRAMES:
        return wait_for(run, lambda: ended(server.client), "the end")
    return wait_for(run, lambda: written(server.client) >= moment, f"{moment} frames")


def check(undisturbed: Written, out: Path, result: dict[str, object]) -> None:
    undisturbed.check_same(Written.of(out))
    assert result["frames_in"] == result["frames_written"] == FRAMES
    assert result["warnings"] == []


@pytest.mark.parametrize(
    ("how", "moment"),
    [
        ("shutdown", 40),
        ("kill", 30),
        *(
            pytest.param(how, moment, marks=SOAK)
            for how in ("shutdown", "kill")
            for moment in (1, 76, FRAMES)
        ),
    ],
)
def test_a_redis_with_an_append_only_file_may_be_started_again(
    source: Path,
    undisturbed: Written,
    tmp_path: Path,
    durable: DurableRedis,
    how: str,
    moment: int,
) -> None:
    out = tmp_path / "out.mp4"
    with running(source, out, durable.url) as run:
        assert restarts(run, durable, moment)
        durable.away(1, how)
        result = finish(run)
    check(undisturbed, out, result)


@SOAK
def test_a_redis_may_be_started_again_and_again(
    source: Path, undisturbed: Written, tmp_path: Path, durable: DurableRedis
) -> None:
    out = tmp_path / "out.mp4"
    with running(source, out, durable.url) as run:
        for moment, how in ((5, "kill"), (30, "shutdown"), (55, "kill")):
            assert restarts(run, durable, moment)
            durable.away(0.3, how)
        result = finish(run)
    check(undisturbed, out, result)


@pytest.mark.parametrize(
    ("lost", "moment"),
    [
        (100_000, 40),
        *(
            pytest.param(lost, moment, marks=SOAK)
            for lost in (300, 300_000)
            for moment in (15, 50, FRAMES)
        ),
    ],
)
def test_a_redis_that_has_lost_its_last_commands_is_made_good(
    source: Path,
    undisturbed: Written,
    tmp_path: Path,
    durable: DurableRedis,
    lost: int,
    moment: int,
) -> None:
    """The end of the append-only file is gone, as after a power cut: services know more than it."""
    out = tmp_path / "out.mp4"
    with running(source, out, durable.url) as run:
        assert restarts(run, durable, moment)
        durable.end("kill")
        (log,) = durable.log_files()
        size = log.stat().st_size
        with log.open("r+b") as file:
            file.truncate(max(0, size - lost))
        durable.start()
        result = finish(run)
    check(undisturbed, out, result)


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(1, marks=SOAK),
        40,
        pytest.param(76, marks=SOAK),
        pytest.param(FRAMES, marks=SOAK),
    ],
)
def test_a_file_is_published_again_to_a_redis_that_comes_back_empty(
    source: Path, undisturbed: Written, tmp_path: Path, durable: DurableRedis, moment: int
) -> None:
    """Ids do not begin at 1 here: an earlier run has used some."""
    out = tmp_path / "out.mp4"
    streams.register_camera(durable.client, CAMERA, last_frame_id="500")
    with running(source, out, durable.url) as run:
        assert restarts(run, durable, moment)
        durable.end("kill")
        for path in durable.log_files():
            path.unlink()
        shutil.rmtree(durable.folder / "appendonlydir", ignore_errors=True)
        durable.start()
        result = finish(run)
    left = Written.of(out)
    assert [frame_id for frame_id, _ in left.lines] == list(range(501, 501 + FRAMES))
    assert left.numbers == undisturbed.numbers
    assert left.times == undisturbed.times
    assert result["frames_lost"] == 0


@SOAK
def test_frames_lost_when_a_redis_is_emptied_under_a_run_are_said(
    source: Path, undisturbed: Written, tmp_path: Path, durable: DurableRedis
) -> None:
    """No connection breaks; a file is published again as soon as somebody notices."""
    out = tmp_path / "out.mp4"
    with running(source, out, durable.url) as run:
        assert restarts(run, durable, 40)
        durable.client.flushall()
        result = finish(run)
    left = Written.of(out)
    assert result["frames_in"] == FRAMES
    missing = FRAMES - len(left.numbers)
    assert result["frames_lost"] == missing
    assert left.numbers == sorted(set(left.numbers))
    if missing:
        assert f"{missing} frames were lost in Redis" in str(result["warnings"])


def test_live_mode_loses_only_what_an_outage_covers_and_counts_it(
    make_video: Callable[..., Path], tmp_path: Path, durable: DurableRedis
) -> None:
    source, out = make_video(tmp_path / "in.mp4", frames=150), tmp_path / "out.mp4"
    with running(source, out, durable.url, "--live") as run:
        assert wait_for(run, lambda: written(durable.client) >= 20, "frames written")
        began = time.monotonic()
        durable.away(1.5, "shutdown")
        away_s = time.monotonic() - began
        result = finish(run)
    seen = counts(durable.client)
    lost = seen["skipped_by_capture"]
    assert result["frames_in"] == seen["frames_in"] == 150 - lost
    # services look for Redis at most every 2 s
    assert 25 * 1.0 <= lost <= 25 * (away_s + 5)
    names = ("skipped_by_visualize", "trimmed_before_visualize", "trimmed_before_writer",
             "overwritten_before_visualize", "overwritten_before_writer",
             "refused_by_visualize", "refused_before_writer", "refused_by_writer")  # fmt: skip
    assert result["frames_lost"] == sum(seen.get(name, 0) for name in names)
    assert result["frames_written"] == seen["frames_written"]
    with VideoSource(str(out)) as video:
        numbers = [number_of(f.image) for f in video.frames()]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == result["frames_written"]
    with VideoSource(str(out)) as video:
        times = [f.pts_s for f in video.frames()]
    assert times == pytest.approx([number / 25 for number in numbers], abs=0.02)


@pytest.mark.parametrize(
    ("lost", "killed"),
    [
        (10**9, ["capture"]),
        (400_000, ["capture", "writer"]),
        pytest.param(400_000, ["capture"], marks=SOAK),
    ],
    ids=["all", "some", "some, and the writer stays"],
)
def test_frames_of_a_capture_that_is_started_again_are_not_taken_for_those_before(
    make_long_video: Callable[[Path, int], Path],
    tmp_path: Path,
    durable: DurableRedis,
    lost: int,
    killed: list[str],
) -> None:
    """Redis has lost its last moments, so ids are used again, for other pictures."""
    media = make_long_video(tmp_path / "in.mp4", 120)
    port = free_port(socket.SOCK_DGRAM)
    words: dict[str, list[str]] = {
        "capture": [f"udp://@:{port}"],
        "visualize": [],
        "writer": [f"{tmp_path}/out/{{camera}}-{{started}}.mp4"],
    }
    (tmp_path / "out").mkdir()

    def start(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", f"services.{name}", *words[name], "--camera", CAMERA]
        return preloaded.Popen([*command, "--redis", durable.url], cwd=tmp_path)

    def lines() -> list[list[int]]:
        """The frame ids of each file, in the order of their names."""
        files = sorted((tmp_path / "out").glob("*.jsonl"))
        # the last line may be half there
        texts = [file.read_text().splitlines(keepends=True) for file in files]
        whole = [[line for line in text if line.endswith("\n")] for text in texts]
        return [[json.loads(line)["frame_id"] for line in some] for some in whole]

    to = f"udp://127.0.0.1:{port}?pkt_size=1316"
    camera = preloaded.Popen([sys.executable, "-m", "tests.paced_server", to, str(media)])
    services = {name: start(name) for name in words}
    try:
        wait_until(lambda: sum(map(len, lines())) >= 150, 60, "lines")
        for name in killed:
            services[name].kill()
            services[name].wait()
        durable.end("kill")
        (log,) = durable.log_files()
        with log.open("r+b") as file:
            file.truncate(max(0, log.stat().st_size - lost))
        before = lines()
        assert len(before) == 1
        durable.start()
        services |= {name: start(name) for name in killed}
        new = lambda: sum(map(len, lines())) - len(before[0])  # noqa: E731
        wait_until(lambda: new() >= 75, 60, "lines of frames since")
        for name in ("capture", "visualize", "writer"):
            services[name].send_signal(signal.SIGTERM)
            assert services[name].wait(30) == 0
    finally:
        for process in (camera, *services.values()):
            process.kill()
            process.wait()
    first, second = lines()
    kept = len(before[0]) - 1  # of a killed writer the last line may have no frame, and goes
    assert first[:kept] == before[0][:kept]
    assert 1 <= second[0] < first[-1]  # used again
    assert second == list(range(second[0], second[-1] + 1))
    for video, ids in zip(sorted((tmp_path / "out").glob("*.mp4")), (first, second), strict=True):
        with VideoSource(str(video)) as opened:
            assert sum(1 for _ in opened.frames()) == len(ids)


def test_a_redis_whose_disk_is_full_is_waited_for(
    make_long_video: Callable[[Path, int], Path],
    mount_disk: Callable[[int], Path],
    redis_program: str,
    tmp_path: Path,
) -> None:
    source = make_long_video(tmp_path / "in.mp4", 80)
    disk = mount_disk(32)
    server = DurableRedis(redis_program, disk)
    arguments = {"capture": [str(source), "--live"]}
    logs = {name: tmp_path / f"{name}.log" for name in ("capture", "track", "visualize")}
    children = {}
    try:
        for name, log in logs.items():
            with log.open("w") as file:
                children[name] = preloaded.Popen(
                    [sys.executable, "-m", f"services.{name}", *arguments.get(name, []),
                     "--camera", CAMERA, "--redis", server.url],
                    stderr=file,
                )  # fmt: skip
        wait_until(lambda: counts(server.client).get("frames_in", 0) > 20, 60, "frames")
        fill(disk / "ballast")
        said = "takes no data: it cannot write to its disk; is that full?"
        for name in ("capture", "visualize"):
            wait_until(lambda n=name: said in logs[n].read_text(), 30, f"{name} waits")  # type: ignore[misc]
        before = counts(server.client)["frames_in"]
        (disk / "ballast").unlink()
        wait_until(lambda: counts(server.client)["frames_in"] > before + 20, 30, "more frames")
        for name, child in children.items():
            assert child.poll() is None, logs[name].read_text()
            child.send_signal(signal.SIGTERM)
        assert [child.wait(20) for child in children.values()] == [0, 0, 0]
    finally:
        for child in children.values():
            child.kill()
            child.wait()
        server.process.kill()
        server.process.wait()


def test_a_redis_that_dies_is_said_and_the_video_can_be_played(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    with EmbeddedRedis() as server:
        client = streams.connect(server.url)
        with running(source, out, server.url, "--live", "--set", "redis.patience_s=1") as run:
            wait_until(lambda: written(client) >= 20, what="frames written")
            server.process.kill()
            stdout, stderr = run.communicate(timeout=60)
    assert run.returncode == 2, stderr
    assert "has not answered" in json.loads(stdout)["error"]
    assert "can be played" in json.loads(stdout)["error"]
    assert "Traceback" not in stderr
    with VideoSource(str(out)) as video:
        shown = [number_of(f.image) for f in video.frames()]
    assert shown == list(range(len(shown)))
    assert len(shown) >= 19


def test_services_without_a_redis_wait_for_it_and_end_well_when_asked(
    source: Path, tmp_path: Path, durable: DurableRedis
) -> None:
    durable.end("shutdown")
    arguments = {"capture": [str(source)], "writer": [str(tmp_path / "o.mp4")]}
    children = [
        preloaded.Popen(
            [sys.executable, "-m", f"services.{name}", *arguments.get(name, []),
             "--camera", CAMERA, "--redis", durable.url],
            stderr=subprocess.PIPE, text=True,
        )
        for name in ("capture", "track", "visualize", "writer")
    ]  # fmt: skip
    try:
        for child in children:
            assert child.stderr is not None
            assert "does not answer" in child.stderr.readline()
        children[1].send_signal(signal.SIGTERM)
        assert children[1].wait(20) == 0
        durable.start()
        others = [children[0], *children[2:]]
        for child in others:
            assert child.stderr is not None
            assert "is back" in child.stderr.readline()
        for child in others:
            child.send_signal(signal.SIGTERM)
            assert child.wait(20) == 0
    finally:
        for child in children:
            child.kill()
            child.communicate()
    assert not any(runs(child.pid) for child in children)
