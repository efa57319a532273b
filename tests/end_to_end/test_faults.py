"""Faults of processes, really caused: killed, stopped; nothing of a file is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from platestream import streams
from platestream.demo import built_in_clip
from platestream.embedded_redis import EmbeddedRedis
from platestream.video import VideoSource
from tests.conftest import wait_until
from tests.end_to_end.running import (
    CAMERA,
    FRAMES,
    SERVICES,
    Run,
    Written,
    ended,
    finish,
    frames_read,
    processes,
    running,
    runs,
    send,
    wait_for,
    written,
)
from tests.numbered import number_of

pytestmark = pytest.mark.usefixtures("blind_ocr")
ALL = set(range(1, FRAMES + 1))
END = FRAMES  # a moment: when capture has published the end


def moments(service: str, count: int) -> list[int]:
    """The first frames, some in between, one near the end, the end."""
    drawn = random.Random(service).sample(range(5, FRAMES - 6), count)
    return [0, 1, *sorted(drawn), FRAMES - 4, END]


def reach(run: Run, client: redis.Redis, moment: int) -> bool:
    """Waits for a moment of a run; False if the run was over before."""
    if moment == END:
        return wait_for(run, lambda: ended(client), "the end")
    if moment == 0:
        return wait_for(run, lambda: client.exists(streams.camera_key(CAMERA)), "a camera")
    return wait_for(run, lambda: written(client) >= moment, f"{moment} frames")


SHORT = [("capture", 20), ("ocr", 1), ("track", 30), ("visualize", 40), ("writer", END)]
AT_ANY = [(service, moment) for service in SERVICES for moment in moments(service, 1)]
SOAK = [case for case in AT_ANY if case not in SHORT]


def check(undisturbed: Written, out: Path, result: dict[str, object], client: redis.Redis) -> None:
    undisturbed.check_same(Written.of(out))
    assert result["frames_in"] == result["frames_written"] == FRAMES
    assert result["frames_lost"] == 0
    assert result["warnings"] == []
    assert frames_read(client) == ALL


def kill_one(
    source: Path, undisturbed: Written, tmp_path: Path, url: str, victim: str, moment: int
) -> None:
    client, out = streams.connect(url), tmp_path / "out.mp4"
    with running(source, out, url) as run:
        # where OCR is slow, capture may be through when the writer nears the end
        may_be_gone = moment >= FRAMES - 4
        assert reach(run, client, moment) or may_be_gone
        # capture may have a camera before another fork has its name
        assert (send if may_be_gone else send_to_next)(run, victim) or may_be_gone
        result = finish(run)
    check(undisturbed, out, result, client)


@pytest.mark.parametrize(("victim", "moment"), SHORT)
def test_a_killed_service_loses_nothing_of_a_file(
    source: Path,
    undisturbed: Written,
    tmp_path: Path,
    any_server: EmbeddedRedis,
    victim: str,
    moment: int,
) -> None:
    kill_one(source, undisturbed, tmp_path, any_server.url, victim, moment)


@pytest.mark.soak
@pytest.mark.parametrize(("victim", "moment"), SOAK)
def test_a_service_may_be_killed_at_any_moment(
    source: Path,
    undisturbed: Written,
    tmp_path: Path,
    any_server: EmbeddedRedis,
    victim: str,
    moment: int,
) -> None:
    kill_one(source, undisturbed, tmp_path, any_server.url, victim, moment)


@pytest.mark.soak
@pytest.mark.parametrize("victim", SERVICES)
def test_a_service_may_be_killed_again_and_again(
    source: Path, undisturbed: Written, tmp_path: Path, any_server: EmbeddedRedis, victim: str
) -> None:
    client, out = streams.connect(any_server.url), tmp_path / "out.mp4"
    with running(source, out, any_server.url) as run:
        for moment in (1, 25, 50, 75):
            assert reach(run, client, moment)
            assert send_to_next(run, victim)
        result = finish(run)
    check(undisturbed, out, result, client)


@pytest.mark.parametrize(
    "moment", [30, *(pytest.param(m, marks=pytest.mark.soak) for m in (1, 60, 76, END))]
)
def test_all_services_killed_at_once_lose_nothing_of_a_file(
    source: Path, undisturbed: Written, tmp_path: Path, any_server: EmbeddedRedis, moment: int
) -> None:
    client, out = streams.connect(any_server.url), tmp_path / "out.mp4"
    with running(source, out, any_server.url) as run:
        assert reach(run, client, moment)
        for service in SERVICES:
            send(run, service)
        result = finish(run)
    check(undisturbed, out, result, client)


@pytest.mark.parametrize(
    "victim", [pytest.param(s, marks=pytest.mark.soak) if s != "writer" else s for s in SERVICES]
)
def test_a_service_that_stands_still_for_a_while_loses_nothing_of_a_file(
    source: Path, undisturbed: Written, tmp_path: Path, any_server: EmbeddedRedis, victim: str
) -> None:
    client, out = streams.connect(any_server.url), tmp_path / "out.mp4"
    with running(source, out, any_server.url) as run:
        assert reach(run, client, 20)
        assert send(run, victim, signal.SIGSTOP)
        time.sleep(3)  # the fault itself, not a wait for something
        assert send(run, victim, signal.SIGCONT)
        result = finish(run)
    check(undisturbed, out, result, client)


@pytest.mark.parametrize("seconds", [3, pytest.param(17, marks=pytest.mark.soak)])
def test_a_redis_that_stands_still_for_a_while_loses_nothing_of_a_file(
    source: Path, undisturbed: Written, tmp_path: Path, seconds: int
) -> None:
    """For less, and for more, than clients wait for an answer."""
    out = tmp_path / "out.mp4"
    with EmbeddedRedis() as server:
        client = streams.connect(server.url)
        with running(source, out, server.url) as run:
            assert reach(run, client, 20)
            server.process.send_signal(signal.SIGSTOP)
            time.sleep(seconds)  # the fault itself, not a wait for something
            server.process.send_signal(signal.SIGCONT)
            result = finish(run)
        check(undisturbed, out, result, client)


@pytest.mark.parametrize(
    "fate", [pytest.param(signal.SIGKILL, marks=pytest.mark.soak), signal.SIGCONT]
)
def test_frames_held_by_a_replica_that_stands_still_are_read_by_another(
    source: Path, undisturbed: Written, tmp_path: Path, any_server: EmbeddedRedis, fate: int
) -> None:
    """Another one claims them; the first is then killed, or wakes up and publishes late."""
    client, out = streams.connect(any_server.url), tmp_path / "out.mp4"
    key = streams.frames_key(CAMERA)

    def held_by(name: str) -> list[str]:
        rows = client.xpending_range(key, streams.OCR, "-", "+", 100, consumername=name)
        return [row["message_id"].decode() for row in rows]

    claim = ("--set", "ocr.claim_after_ms=500")
    with running(source, out, any_server.url, "--ocr-replicas", "2", *claim) as run:
        assert reach(run, client, 10)
        victim = next(pid for pid in processes(run, "ocr") if b"ocr-1" in command_line(pid))

        def stopped_with_frames() -> bool:
            os.kill(victim, signal.SIGSTOP)
            if held_by("ocr-1"):
                return True
            os.kill(victim, signal.SIGCONT)
            return False

        wait_until(stopped_with_frames, what="a replica that holds frames")
        held = held_by("ocr-1")
        if fate == signal.SIGCONT:
            wait_until(lambda: not held_by("ocr-1"), what="a claim")
        os.kill(victim, fate)
        result = finish(run)
    assert {streams.frame_id_of(entry) for entry in held} <= frames_read(client)
    check(undisturbed, out, result, client)


def send_to_next(run: Run, service: str) -> list[int]:
    """Kills a service that runs; what was killed before may still be on its way out."""
    wait_until(lambda: any(map(runs, processes(run, service))), what=service)
    return send(run, service)


def command_line(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").split()


@pytest.mark.soak
def test_a_tracker_killed_again_and_again_passes_every_plate_on_once(
    tmp_path: Path,
    any_server: EmbeddedRedis,
    blind_networks: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in blind_networks:
        monkeypatch.delenv(name)
    clip, truth = built_in_clip()
    client = streams.connect(any_server.url)
    key = streams.tracks_key(CAMERA)
    with running(clip, tmp_path / "out.mp4", any_server.url) as run:
        for frames in (40, 130, 220):
            wait_until(lambda n=frames: client.xlen(key) >= n, 60, "tracks")  # type: ignore[misc]
            assert send_to_next(run, "track")
        result = finish(run)
    assert [streams.frame_id_of(i) for i, _ in client.xrange(key)] == [*range(1, 301), 300]
    texts = [seen["text"] for seen in result["plates"]]  # type: ignore[attr-defined]
    assert len(texts) == len(set(texts))
    assert len(set(texts) & {plate["text"] for plate in truth["plates"]}) >= 5
    assert result["frames_written"] == 300


def test_sigterm_ends_a_run_in_good_order(
    source: Path, tmp_path: Path, any_server: EmbeddedRedis
) -> None:
    client = streams.connect(any_server.url)
    out = tmp_path / "out.mp4"
    with running(source, out, any_server.url, "--live") as run:
        wait_until(lambda: written(client) >= 20, what="frames written")
        run.send_signal(signal.SIGTERM)
        result = finish(run)
    count = result["frames_written"]
    assert 20 <= count < FRAMES  # type: ignore[operator]
    assert result["frames_lost"] == 0
    with VideoSource(str(out)) as video:
        assert [number_of(f.image) for f in video.frames()] == list(range(count))  # type: ignore[call-overload]


def test_services_and_redis_end_with_their_run(
    make_video: Callable[..., Path], tmp_path: Path
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=400)  # there to be interrupted
    out = tmp_path / "out.mp4"
    with running(source, out, None, "--live") as run:
        names = ("redis-server", *SERVICES)
        wait_until(lambda: out.exists() and out.stat().st_size > 3_000, what="a video")
        alive = [pid for name in names for pid in processes(run, name)]
        assert len(alive) == len(names)
        run.kill()
        wait_until(lambda: not any(map(runs, alive)), 20, "services gone")


@pytest.mark.soak
def test_a_camera_in_use_is_not_taken_over(
    make_long_video: Callable[[Path, int], Path], tmp_path: Path, any_server: EmbeddedRedis
) -> None:
    source = make_long_video(tmp_path / "long.mp4", 60)
    client = streams.connect(any_server.url)
    with running(source, tmp_path / "out.mp4", any_server.url, "--live") as first:
        wait_until(lambda: written(client) >= 5, what="frames written")
        with running(source, tmp_path / "other.mp4", any_server.url) as second:
            stdout, _ = second.communicate(timeout=60)
        assert second.returncode == 2
        assert "in use" in json.loads(stdout)["error"]
        first.send_signal(signal.SIGTERM)
        finish(first)


def test_a_file_that_is_cut_off_while_it_is_read_gives_what_is_left_and_says_so(
    make_video: Callable[..., Path], tmp_path: Path, any_server: EmbeddedRedis
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=400)
    client, out = streams.connect(any_server.url), tmp_path / "out.mp4"
    with running(source, out, any_server.url) as run:
        assert wait_for(run, lambda: written(client) >= 20, "frames written")
        os.truncate(source, source.stat().st_size * 2 // 5)
        result = finish(run)
    count = result["frames_written"]
    assert 20 <= count < 400  # type: ignore[operator]
    assert result["frames_lost"] == 0
    assert "promises 400 frames" in str(result["warnings"])
    assert Written.of(out).numbers == list(range(count))  # type: ignore[call-overload]


@pytest.mark.soak
def test_a_damaged_file_comes_to_the_same_when_its_reading_is_begun_again(
    source: Path, tmp_path: Path, any_server: EmbeddedRedis
) -> None:
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 300] = bytes(300)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)
    client = streams.connect(any_server.url)
    results = []
    for name in ("once", "twice"):
        client.flushall()
        with running(damaged, tmp_path / f"{name}.mp4", any_server.url) as run:
            if name == "twice":
                assert wait_for(run, lambda: written(client) >= FRAMES // 2, "frames written")
                assert send(run, "capture")
            results.append(finish(run))
    assert "damaged packets" in str(results[0]["warnings"])
    assert results[0]["warnings"] == results[1]["warnings"]
    assert results[0]["frames_lost"] == results[1]["frames_lost"] == 0
    Written.of(tmp_path / "once.mp4").check_same(Written.of(tmp_path / "twice.mp4"))
