"""Services as real processes, seen over HTTP: they count, hang, lose Redis, and say so."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from platestream import cli, options, streams
from platestream.demo import built_in_clip
from platestream.embedded_redis import EmbeddedRedis
from tests import conftest, preloaded

CAMERA = "gate-1"
wait_until = partial(conftest.wait_until, pause_s=0.05)  # services are asked over HTTP

_SERVICE = """
import sys, time
from platestream import runtime, settings
def body(session):
    while not session.stopped():
        if session.client.get("hang"):
            time.sleep(3600)
        full = session.client.get("full")
        session.not_ready(full.decode(), "disk") if full else session.ready("disk")
        session.stopping.wait(0.05)
loaded = settings.load(
    {"redis.url": sys.argv[1], "http.port": int(sys.argv[2]), "http.hang_s": 3.0,
     "camera": "gate-1"}
)
sys.exit(runtime.serve("writer", loaded, body))
"""


@pytest.fixture
def server(any_server: EmbeddedRedis) -> EmbeddedRedis:
    """One of the two servers for each test: what starts processes takes long enough with one."""
    return any_server


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def get(port: int, path: str) -> tuple[int, str]:
    """Status and body; 0 where nobody listens yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def reasons(port: int, path: str = "/readyz") -> list[str]:
    said: list[str] = json.loads(get(port, path)[1])["reasons"]
    return said


def values(port: int) -> dict[str, float]:
    """Samples by name, added up over labels."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(get(port, "/metrics")[1]):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    one = preloaded.Popen(
        [sys.executable, *arguments], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield one
    finally:
        one.kill()
        one.communicate()


@contextmanager
def capture(source: str, url: str, port: int, *extra: str) -> Iterator[subprocess.Popen[str]]:
    settings = ["--set", f"http.port={port}", *extra]
    with process(
        "-m", "services.capture", source, "--camera", CAMERA, "--redis", url, *settings
    ) as one:
        yield one


@pytest.fixture
def port() -> int:
    return free_port()


def test_capture_of_the_demo_clip_is_counted(server: EmbeddedRedis, port: int) -> None:
    """Nobody reads: it publishes as many as there is room for, and waits, well."""
    clip, _ = built_in_clip()
    with capture(str(clip), server.url, port):
        wait_until(lambda: values(port).get("platestream_frames_out_total") == 8, what="8 frames")
        seen = values(port)
        assert seen["platestream_frames_in_total"] == 9  # one waits for room
        assert seen["platestream_handling_seconds_count"] == 8
        assert seen["platestream_redis_up"] == 1
        assert seen["platestream_healthy"] == seen["platestream_ready"] == 1
        assert seen["process_resident_memory_bytes"] > 2**20
        assert seen["platestream_camera_ready"] == 1
        assert get(port, "/readyz")[0] == get(port, "/healthz")[0] == 200
        assert get(port, f"/readyz?camera={CAMERA}")[0] == 200
        assert get(port, "/readyz?camera=another")[0] == 404
        assert get(port, "/")[0] == 404


@pytest.mark.usefixtures("blind_ocr")
def test_a_runs_services_are_seen_on_consecutive_ports(
    server: EmbeddedRedis, tmp_path: Path, make_long_video: Callable[[Path, int], Path]
) -> None:
    """In the order of deploy/prometheus.yml; delays are measured from capture to file."""
    video = make_long_video(tmp_path / "in.mp4", 60)
    port = free_port()
    code = "from platestream.cli import main; main()"
    command = ["run", str(video), "--output", str(tmp_path / "out.mp4"), "--camera", CAMERA]
    command += ["--redis", server.url, "--set", f"http.port={port}"]
    seen: list[dict[str, float]] = [{}] * 5
    with process("-c", code, *command) as run:

        def all_seen() -> bool:
            assert run.poll() is None, run.communicate()
            seen[:] = [values(port + number) or seen[number] for number in range(5)]
            written = seen[1].get("platestream_capture_to_file_seconds_count", 0)
            return written >= 10 and seen[3].get("platestream_frames_out_total", 0) >= 5

        wait_until(all_seen, 60, "frames written and tracked")
    capture, writer, visualize, track, ocr = seen
    assert capture["platestream_frames_out_total"] >= 10
    assert visualize["platestream_capture_to_overlay_seconds_count"] > 0
    near = {"abs": 8}  # they count on while they are asked
    assert ocr["platestream_batch_frames_sum"] == pytest.approx(
        ocr["platestream_frames_in_total"], **near
    )
    for one in (writer, visualize, track, ocr):
        assert one["platestream_frames_in_total"] > 0
        hops = one["platestream_hop_seconds_count"]
        assert hops == pytest.approx(one["platestream_frames_in_total"], **near)
        assert "platestream_group_pending_entries" in one
    for name in ("hop", "capture_to_file", "handling"):
        metric = f"platestream_{name}_seconds"
        assert 0 < writer[f"{metric}_sum"] / writer[f"{metric}_count"] < 30


@pytest.mark.soak
def test_a_redis_that_stops_makes_it_not_ready_but_not_dead(port: int) -> None:
    with EmbeddedRedis() as server, process("-c", _SERVICE, server.url, str(port)):
        wait_until(lambda: get(port, "/readyz")[0] == 200, what="ready")
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            wait_until(lambda: get(port, "/readyz")[0] == 503, what="not ready")
            assert any("does not answer" in reason for reason in reasons(port))
            # longer than a loop may hang, by the service's own word
            wait_until(
                lambda: "does not answer; waiting for it" in "".join(reasons(port, "/healthz")),
                what="an explanation",
            )
            for _ in range(8):  # a second each, in which Redis is asked
                status, text = get(port, "/metrics")
                assert status == 200
                assert 'platestream_redis_up{service="writer"} 0.0' in text
                assert get(port, "/healthz")[0] == 200
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        wait_until(lambda: get(port, "/readyz")[0] == 200, what="ready again")
        assert get(port, "/healthz")[0] == 200


def test_a_loop_that_hangs_is_not_alive(server: EmbeddedRedis, port: int) -> None:
    client = streams.connect(server.url)
    with process("-c", _SERVICE, server.url, str(port)):
        wait_until(lambda: get(port, "/healthz")[0] == 200, what="alive")
        client.set("hang", "1")
        wait_until(lambda: get(port, "/healthz")[0] == 503, what="not alive")
        assert reasons(port, "/healthz")[0].startswith("no progress for")
        assert get(port, "/readyz")[0] == 503
        assert values(port)["platestream_healthy"] == 0


def test_what_a_service_says_of_itself_is_what_readyz_says(
    server: EmbeddedRedis, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    client = streams.connect(server.url)
    ask = ["health", "--url", f"http://127.0.0.1:{port}/readyz"]
    with process("-c", _SERVICE, server.url, str(port)):
        wait_until(lambda: get(port, "/readyz")[0] == 200, what="ready")
        assert options.invoke_app(cli.app, "platestream", ask) == 0
        assert capsys.readouterr().out == "writer of gate-1 is well\n"
        client.set("full", "no room on disk for '/video/a.mp4'")
        wait_until(lambda: get(port, "/readyz")[0] == 503, what="not ready")
        assert reasons(port) == ["no room on disk for '/video/a.mp4'"]
        assert get(port, "/healthz")[0] == 200
        assert options.invoke_app(cli.app, "platestream", ask) == 1
        said = capsys.readouterr().err
        assert said == "writer of gate-1 is not well: no room on disk for '/video/a.mp4'\n"
        client.delete("full")
        wait_until(lambda: get(port, "/readyz")[0] == 200, what="ready again")


def test_a_camera_that_cannot_be_reached_is_not_ready(server: EmbeddedRedis, port: int) -> None:
    nobody = f"rtsp://admin:hunter2@127.0.0.1:{free_port()}/1"
    with capture(nobody, server.url, port, "--set", "log.format=json") as one:
        wait_until(lambda: get(port, "/healthz")[0] == 200, what="alive")
        wait_until(lambda: "no frame has come yet" in reasons(port), what="not ready")
        streams.connect(server.url).hset(streams.camera_key(CAMERA), "state", "stalled")
        wait_until(lambda: "camera 'gate-1' is stalled" in reasons(port), what="the state")
        assert get(port, "/readyz")[0] == 503
        one.terminate()
        _, stderr = one.communicate(timeout=60)
    assert "rtsp://admin:***@" in stderr
    assert "hunter2" not in stderr
    assert all("event" in json.loads(line) for line in stderr.splitlines())


class _Camera(BaseHTTPRequestHandler):
    """Streams half of a clip and then says nothing more; a new viewer waits for all of it."""

    clip: bytes
    first: threading.Lock
    may_go_on: threading.Event

    def do_GET(self) -> None:
        sent = self.clip[: len(self.clip) // 2]
        if not self.first.acquire(blocking=False):
            self.may_go_on.wait(60)
            sent = self.clip
        self.send_response(200)
        self.end_headers()
        self.wfile.write(sent)
        self.rfile.read(1)  # until the viewer has gone

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_camera_that_falls_silent_is_not_ready_until_it_is_back(
    server: EmbeddedRedis, port: int, tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    clip = make_video(tmp_path / "clip.ts", frames=100).read_bytes()
    may_go_on = threading.Event()
    facts = {"clip": clip, "first": threading.Lock(), "may_go_on": may_go_on}
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Camera", (_Camera,), facts)) as camera:
        camera.daemon_threads = True
        camera.block_on_close = False
        threading.Thread(target=camera.serve_forever, daemon=True).start()
        source = f"http://127.0.0.1:{camera.server_address[1]}/"
        quick = ["--set", "capture.timeout_s=3", "--set", "capture.reconnect_max_s=0.5"]
        with capture(source, server.url, port, *quick):
            wait_until(lambda: get(port, "/readyz")[0] == 200, 60, "ready")
            wait_until(lambda: get(port, "/readyz")[0] == 503, 60, "not ready")
            wait_until(
                lambda: any(reason.startswith("no frame for") for reason in reasons(port)),
                what="why",
            )
            assert get(port, "/healthz")[0] == 200
            may_go_on.set()
            wait_until(lambda: get(port, "/readyz")[0] == 200, 60, "ready again")
            assert values(port)["platestream_reconnects_total"] >= 1
        camera.shutdown()


def test_a_port_that_is_taken_ends_it_with_a_sentence(server: EmbeddedRedis) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with capture("a.mp4", server.url, taken.getsockname()[1]) as one:
            _, stderr = one.communicate(timeout=60)
    assert one.returncode == 2
    assert "in use" in stderr
    assert "choose another http.port" in stderr
    assert "Traceback" not in stderr
