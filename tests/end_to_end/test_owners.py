"""Of each service of a camera one process counts, who came last; none is harmed by who was before.

The services are processes, the others are really stopped or still at work.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from platestream import messages, streams
from platestream.embedded_redis import EmbeddedRedis
from platestream.messages import End, Plate, Reading
from platestream.streams import GroupConsumer
from platestream.video import VideoSource
from tests import preloaded
from tests.conftest import wait_until
from tests.end_to_end.running import CAMERA, FRAMES, counts, running, written
from tests.numbered import number_of

Process = subprocess.Popen[str]
Start = Callable[..., Process]
LONG = 160  # frames: some seconds' work
STOPPED = pytest.mark.parametrize(
    "stopped", [True, pytest.param(False, marks=pytest.mark.soak)], ids=["stopped", "at work"]
)


@pytest.fixture
def client(any_server: EmbeddedRedis) -> redis.Redis:
    """A client of either server."""
    return streams.connect(any_server.url)


@pytest.fixture
def start(any_server: EmbeddedRedis) -> Iterator[Start]:
    """Starts services of the camera as processes."""
    started: list[Process] = []

    def begin(name: str, *words: str) -> Process:
        command = [sys.executable, "-m", f"services.{name}", *words, "--camera", CAMERA]
        command += ["--redis", any_server.url, "--set", "log.format=json"]
        process = preloaded.Popen(command, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def long(make_video: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("long") / "in.mp4", frames=LONG, width=160, height=90)


def owner(client: redis.Redis, service: str) -> str:
    return streams.read_hash(client, streams.owners_key(CAMERA)).get(service, "")


def goes_on(start: Start, client: redis.Redis, service: str, *words: str) -> Process:
    """A replacement of a service, once it has taken the camera over."""
    before = owner(client, service)
    process = start(service, *words)
    wait_until(lambda: owner(client, service) not in ("", before), 30, f"another {service}")
    return process


def ends_refused(process: Process, service: str, replacement: Process) -> None:
    """Fails unless a process ends soon, with 2, and says who serves its camera now."""
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 2, stderr
    last = json.loads(stderr.splitlines()[-1])
    assert last["fatal"] is True
    assert f"another {service} (" in last["event"]
    assert f":{replacement.pid}) has taken camera '{CAMERA}' over" in last["event"]
    assert "Traceback" not in stderr
    assert "has lost" not in stderr


@pytest.mark.parametrize("service", ["visualize", "writer"])
@STOPPED
def test_every_frame_is_written_once_over_a_change_of_owner(
    client: redis.Redis, start: Start, long: Path, tmp_path: Path, service: str, stopped: bool
) -> None:
    words = {"visualize": [], "writer": [str(tmp_path / "{camera}-{started}.mp4")]}
    one = {name: start(name, *words[name]) for name in words}
    start("capture", str(long), "--file", "--set", "capture.wait_for=visualize")
    wait_until(lambda: written(client) >= 10, 60, "frames written")
    if stopped:
        one[service].send_signal(signal.SIGSTOP)
    assert written(client) < LONG
    other = goes_on(start, client, service, *words[service])
    if stopped:
        before = written(client)
        wait_until(lambda: written(client) > before + 10, 20, "frames that the other one writes")
        one[service].send_signal(signal.SIGCONT)
    ends_refused(one[service], service, other)
    key = streams.recording_key(CAMERA)
    wait_until(lambda: client.hget(key, "state") == b"finished", 60, "the end")
    for process in (other, *one.values()):
        process.terminate()
        assert process.wait(30) == (2 if process is one[service] else 0)
    assert counts(client) == {"frames_in": LONG, "frames_written": LONG}
    videos = sorted(tmp_path.glob("*.mp4"), key=lambda video: (len(video.name), video.name))
    # a process that is stopped still holds its file: what comes then goes into the next one
    assert len(videos) == (2 if stopped and service == "writer" else 1)
    numbers, lines = [], []
    for video in videos:
        with VideoSource(str(video)) as opened:
            numbers += [number_of(frame.image) for frame in opened.frames()]
        text = video.with_name(f"{video.stem}.readings.jsonl").read_text()
        lines += [json.loads(line)["frame_id"] for line in text.splitlines()]
    assert lines == list(range(1, LONG + 1))
    assert len(numbers) == LONG
    assert len(list(tmp_path.iterdir())) == 2 * len(videos)


@STOPPED
def test_every_passage_is_published_once_over_a_change_of_trackers(
    client: redis.Redis, start: Start, stopped: bool
) -> None:
    readings = _readings(client)
    one = goes_on(start, client, "track")
    for _ in range(80):
        next(readings)
    wait_until(lambda: client.xlen(streams.tracks_key(CAMERA)) >= 20, 30, "tracks")
    if stopped:
        one.send_signal(signal.SIGSTOP)
    other = goes_on(start, client, "track")
    last = list(readings)[-1]
    end = streams.end_id(last).encode()
    key = streams.tracks_key(CAMERA)
    wait_until(lambda: client.xrevrange(key, count=1)[0][0] == end, 30, "the end of tracks")
    if stopped:
        one.send_signal(signal.SIGCONT)
    ends_refused(one, "track", other)
    assert client.xlen(key) == last + 1
    found = [messages.parse_passage(f) for _, f in client.xrange(streams.passages_key(CAMERA))]
    passages = [passage.first_frame_id for passage in found if not isinstance(passage, End)]
    assert passages == [1, 41, 81, 121]
    assert counts(client)["passages"] == 4


def _readings(client: redis.Redis) -> Iterator[int]:
    """Publishes readings of a file in which four cars pass, one by one; says of which frame."""
    facts = {"mode": "file", "first_frame_id": "1", "last_frame_id": "160", "frames": "160"}
    streams.register_camera(client, CAMERA, **facts, ended="0")
    frames = streams.frames_key(CAMERA)
    streams.ensure_group(client, frames, streams.OCR)
    reader = GroupConsumer(client, frames, streams.OCR, "ocr-1")
    for number in range(160):
        frame_id, (car, step) = number + 1, divmod(number, 40)
        x, plates = 100 + 10 * step, ()
        text = f"A{100 + car}BC77"
        corners = ((x, 100), (x + 90, 100), (x + 90, 120), (x, 120))
        if step < 20:
            plates = (Plate(corners=corners, score=0.9, text=text, confidence=0.99,
                            accepted=True, raw=text),)  # fmt: skip
        client.xadd(frames, {"a": "b"}, id=streams.entry_id(frame_id))
        reader.read(1, None)
        reading = Reading(
            frame_id=frame_id,
            captured_at_ms=100 * frame_id,
            pts_s=0.1 * frame_id,
            plates=plates,
        )
        fields = [messages.reading_fields(reading)]
        if frame_id == 160:
            streams.register_camera(client, CAMERA, ended="1")
        streams.publish_readings(client, CAMERA, fields, [streams.entry_id(frame_id)])
        yield frame_id


def test_of_two_files_under_one_name_the_second_is_whole_and_the_first_refused(
    client: redis.Redis, start: Start, source: Path
) -> None:
    key = streams.frames_key(CAMERA)
    words = (str(source), "--file", "--set", "capture.wait_for=visualize")
    reader = GroupConsumer(client, key, streams.VISUALIZE, streams.VISUALIZE)
    reader.join()
    first = start("capture", *words)
    wait_until(lambda: client.xlen(key) >= 4, 30, "frames of the first")
    known = streams.read_hash(client, streams.camera_key(CAMERA))
    second = start("capture", *words, "--set", "capture.run_id=other")

    def taken() -> bool:
        now = streams.read_hash(client, streams.camera_key(CAMERA))
        return now.get("run_id") == "other" and now["captured_by"] != known["captured_by"]

    wait_until(taken, 30, "the second")
    got: list[str] = []

    def drain() -> bool:
        for delivery in reader.read(8, 50):
            got.append(delivery.id)
            reader.ack(delivery.id)
        return first.poll() is not None and second.poll() is not None

    wait_until(drain, 60, "both ends")
    while not got[-1].endswith("-1"):
        drain()
    ends_refused(first, "capture", second)
    assert second.returncode == 0
    ends = [entry for entry in got if entry.endswith("-1")]
    last = streams.frame_id_of(ends[0])
    assert got == [
        *(streams.entry_id(frame_id) for frame_id in range(1, last + 1)),
        streams.end_id(last),
        *(streams.entry_id(last + frame_id) for frame_id in range(1, FRAMES + 1)),
        streams.end_id(last + FRAMES),
    ]
    assert counts(client) == {"frames_in": last + FRAMES}


def test_two_runs_that_begin_together_under_one_name_do_not_mix(
    client: redis.Redis, source: Path, tmp_path: Path, any_server: EmbeddedRedis
) -> None:
    """One of them has the name; the other one waits for it for some seconds, then is refused."""
    outs = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    words = (any_server.url, "--ocr-replicas", "0")
    with running(source, outs[0], *words) as one, running(source, outs[1], *words) as other:
        ended = [(run, *run.communicate(timeout=90)) for run in (one, other)]
    whole = 0
    for run, stdout, stderr in ended:
        said = json.loads(stdout)
        if run.returncode == 0:
            whole += 1
            assert said["frames_in"] == said["frames_written"] == FRAMES, (said, stderr, ended)
        else:
            assert run.returncode == 2, stderr
            assert "in use" in said["error"]
            assert "--camera" in said["error"]
    assert whole
    assert not client.exists(f"run:{{{CAMERA}}}")
    assert os.listdir(tmp_path)
