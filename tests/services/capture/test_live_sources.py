"""Live sources that come and go, through a real capture process and a real RTSP server."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import pytest
import redis

from platestream import messages, pixels, streams
from platestream.embedded_redis import EmbeddedRedis, redis_server
from platestream.messages import Frame
from tests.conftest import number_of, numbered_picture, wait_until
from tests.sources import RtspServer, capture, free_port, packets, rtsp_server, write_video

CAMERA = "gate-1"
FAST = ("capture.timeout_s=2", "capture.reconnect_max_s=0.5")


@pytest.fixture
def rtsp() -> Iterator[RtspServer]:
    with rtsp_server() as server:
        yield server


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighty seconds with numbered frames."""
    path = tmp_path_factory.mktemp("rtsp") / "clip.mp4"
    return write_video(path, [n / 25 for n in range(2000)])


def frames(client: redis.Redis) -> list[Frame]:
    found = [messages.parse_frame(f) for _, f in client.xrange(streams.frames_key(CAMERA))]
    return [frame for frame in found if isinstance(frame, Frame)]


def numbers(some: list[Frame]) -> list[int]:
    return [int(number_of(pixels.unpack(f.pixels, f.width, f.height))) for f in some]


def facts(client: redis.Redis) -> dict[str, str]:
    return streams.read_hash(client, streams.camera_key(CAMERA))


def counts(client: redis.Redis, name: str) -> int:
    return int(streams.read_hash(client, streams.counts_key(CAMERA)).get(name, 0))


def captured(client: redis.Redis) -> int:
    return counts(client, "frames_in")


def more(client: redis.Redis, many: int = 20) -> None:
    """Waits until some more frames have come."""
    before = captured(client)
    wait_until(lambda: captured(client) >= before + many, what=f"{many} more frames")


def check_order(some: list[Frame]) -> None:
    """Ids without a gap; times that rise, and with the clock."""
    ids = [frame.frame_id for frame in some]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    steps = [b.pts_s - a.pts_s for a, b in itertools.pairwise(some)]
    assert min(steps) > 0
    drift = [f.captured_at_ms / 1000 - f.pts_s for f in some]
    assert max(drift) - min(drift) < 3.0


@pytest.mark.parametrize("transport", ["tcp", pytest.param("udp", marks=pytest.mark.soak)])
def test_rtsp_frames_keep_their_order_and_their_times(
    rtsp: RtspServer, clip: Path, tmp_path: Path, server: EmbeddedRedis, transport: str
) -> None:
    client = streams.connect(server.url)
    rtsp.start(clip)
    choice = f"capture.rtsp_transport={transport}"
    with capture(rtsp.url, server.url, CAMERA, choice, *FAST, cwd=tmp_path) as process:
        wait_until(lambda: captured(client) >= 60, what="frames")
        assert facts(client)["state"] == "live"
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    assert process.returncode == 0, log
    some = frames(client)
    check_order(some)
    late = some[-30:]
    shown = numbers(late)
    assert shown == sorted(set(shown))
    pace = (late[-1].pts_s - late[0].pts_s) / (shown[-1] - shown[0])
    assert pace == pytest.approx(0.04, abs=0.001)
    known = facts(client)
    assert (known["state"], known["ended"], known["source"]) == ("ended", "1", rtsp.url)
    assert int(known["frames"]) == captured(client) == some[-1].frame_id


def test_a_server_that_dies_and_comes_back(
    rtsp: RtspServer, clip: Path, tmp_path: Path, server: EmbeddedRedis
) -> None:
    client = streams.connect(server.url)
    rtsp.start(clip)
    with capture(rtsp.url, server.url, CAMERA, *FAST, cwd=tmp_path) as process:
        more(client)
        rtsp.stop()
        wait_until(lambda: facts(client)["state"] == "lost", what="lost")
        assert int(facts(client)["state_since_ms"]) > time.time() * 1000 - 60_000
        rtsp.start(clip)
        wait_until(lambda: facts(client)["state"] == "live", what="live again")
        more(client)
        assert counts(client, "reconnects") == 1
        assert counts(client, "stalls") == 0
        check_order(frames(client))
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    assert "trying again" in log
    assert "is back" in log
    assert "Traceback" not in log


def test_a_server_that_is_stalled_and_goes_on(
    rtsp: RtspServer, clip: Path, tmp_path: Path, server: EmbeddedRedis
) -> None:
    client = streams.connect(server.url)
    rtsp.start(clip)
    with capture(rtsp.url, server.url, CAMERA, *FAST, cwd=tmp_path) as process:
        more(client)
        rtsp.stall()
        wait_until(lambda: counts(client, "stalls") == 1, what="the stall noticed")
        wait_until(lambda: facts(client)["state"] in ("stalled", "lost"), what="its state")
        rtsp.go_on()
        wait_until(lambda: facts(client)["state"] == "live", what="live again")
        more(client)
        check_order(frames(client))
        assert counts(client, "reconnects") == 1
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    assert re.search(r"connected, but silent for \d s", log)


@pytest.mark.soak
def test_another_codec_and_another_size_after_a_reconnect(
    rtsp: RtspServer, clip: Path, tmp_path: Path, server: EmbeddedRedis
) -> None:
    client = streams.connect(server.url)
    larger = write_video(tmp_path / "l.mp4", [n / 25 for n in range(500)], size=(480, 360))
    rtsp.start(clip)
    with capture(rtsp.url, server.url, CAMERA, *FAST, cwd=tmp_path) as process:
        more(client)
        rtsp.stop()
        rtsp.start("mjpeg")
        wait_until(lambda: counts(client, "reconnects") == 1, what="the second codec")
        more(client)
        rtsp.stop()
        rtsp.start(larger)
        wait_until(lambda: counts(client, "reconnects") == 2, what="the second size")
        more(client)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    some = frames(client)
    check_order(some)
    assert {(f.width, f.height) for f in some} == {(320, 180)}
    assert counts(client, "resized") >= 20
    assert "640x360" in log
    assert "480x360" in log
    picture = pixels.unpack(some[-1].pixels, 320, 180)
    assert picture[:, :35].max() < 40  # 4:3 in 16:9: borders left and right
    assert picture[:, -35:].max() < 40
    assert number_of(picture[:, 40:280]) > 0


def test_a_redis_that_is_slow_leaves_no_old_frames_behind(
    rtsp: RtspServer, clip: Path, tmp_path: Path, server: EmbeddedRedis
) -> None:
    client = streams.connect(server.url)
    rtsp.start(clip)
    with capture(rtsp.url, server.url, CAMERA, *FAST, cwd=tmp_path):
        more(client, 50)
        skipped, first = counts(client, "skipped_by_capture"), captured(client)
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(1.5)  # the fault itself: so long nothing is published
        server.process.send_signal(signal.SIGCONT)
        wait_until(lambda: counts(client, "skipped_by_capture") > skipped, what="the loss counted")
        more(client)
        newest = frames(client)[-1]
        assert time.time() * 1000 - newest.captured_at_ms < 1000
        some = frames(client)[first:]
        lost = counts(client, "skipped_by_capture") - skipped
        check_order(some)
    shown = numbers(some)
    gap = max(b - a for a, b in itertools.pairwise(shown))
    assert 12 <= gap - 1 <= lost


@pytest.mark.parametrize("noticed", [True, False])
def test_a_redis_that_dies_and_comes_back_empty_costs_no_more_than_its_absence(
    rtsp: RtspServer, clip: Path, tmp_path: Path, noticed: bool
) -> None:
    port = free_port()
    client = streams.connect(f"redis://127.0.0.1:{port}")
    rtsp.start(clip)
    with (
        redis_on(port),
        capture(rtsp.url, f"redis://127.0.0.1:{port}", CAMERA, *FAST, cwd=tmp_path) as process,
    ):
        wait_until(lambda: client.ping() and captured(client) >= 20, what="frames")
        last = int(facts(client)["last_frame_id"])
        began = facts(client)["started_at_ms"]
        client.shutdown(nosave=True)
        assert process.stderr is not None
        if noticed:
            assert any("does not answer" in line for line in process.stderr)
        with redis_on(port):
            wait_until(lambda: _answers(client) and captured(client) >= 20, what="frames again")
            known, some = facts(client), frames(client)
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=30)
            assert counts(client, "reconnects") == 0
            if noticed:
                assert counts(client, "skipped_by_capture") > 0
                assert "is back after" in log
    check_order(some)
    assert some[0].frame_id > last
    assert (known["source"], known["state"], known["started_at_ms"]) == (rtsp.url, "live", began)
    assert "Traceback" not in log


@contextlib.contextmanager
def redis_on(port: int) -> Iterator[None]:
    """A redis-server without persistence."""
    command = [redis_server(), "--port", str(port), "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        client = streams.connect(f"redis://127.0.0.1:{port}")
        wait_until(lambda: _answers(client), what="a redis-server")
        yield
    finally:
        process.kill()
        process.wait()


def _answers(client: redis.Redis) -> bool:
    with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
        return bool(client.ping())
    return False


@pytest.mark.soak
def test_a_live_recording_is_gone_on_with_after_a_kill(
    rtsp: RtspServer, clip: Path, tmp_path: Path, server: EmbeddedRedis
) -> None:
    client = streams.connect(server.url)
    rtsp.start(clip)
    for _ in range(2):
        with capture(rtsp.url, server.url, CAMERA, *FAST, cwd=tmp_path):
            more(client)  # and is killed
    check_order(frames(client))
    assert facts(client)["first_frame_id"] == "1"
    with capture("mjpeg.mp4", server.url, CAMERA, cwd=tmp_path) as process:
        assert process.wait(30) == 2  # refused: what is there stays as it is
    assert facts(client)["ended"] == "0"


def test_a_password_is_nowhere_to_be_seen(
    rtsp: RtspServer, clip: Path, tmp_path: Path, server: EmbeddedRedis
) -> None:
    client = streams.connect(server.url)
    url = rtsp.url.replace("rtsp://", "rtsp://admin:S3cret@")
    with capture(url, server.url, CAMERA, *FAST, cwd=tmp_path) as process:
        wait_until(lambda: facts(client).get("state") == "lost", what="nobody listens yet")
        rtsp.start(clip)
        more(client)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    assert "admin:***@" in log
    assert "S3cret" not in log
    assert facts(client)["source"] == url.replace("S3cret", "***")
    for key in client.scan_iter():
        if client.type(key) == b"hash":
            assert b"S3cret" not in b"".join(client.hgetall(key).values())
    with capture(url, server.url, CAMERA, "capture.live=false", cwd=tmp_path) as process:
        _, log = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "S3cret" not in log


@pytest.fixture
def sender() -> Iterator[Callable[[int], None]]:
    """Starts sending numbered MPEG-TS to a UDP port, at 25 frames per second."""
    stop = threading.Event()

    def send(port: int) -> None:
        url = f"udp://127.0.0.1:{port}?pkt_size=1316"
        with av.open(url, "w", format="mpegts", options={"flush_packets": "1"}) as file:
            began = time.monotonic()
            for count, packet in enumerate(packets(file, [n / 25 for n in range(3000)])):
                if stop.wait(max(0.0, began + count / 25 - time.monotonic())):
                    return
                file.mux(packet)

    started: list[threading.Thread] = []

    def start(port: int) -> None:
        started.append(threading.Thread(target=send, args=(port,), daemon=True))
        started[-1].start()

    yield start
    stop.set()
    for thread in started:
        thread.join(5)


def test_mpeg_ts_over_udp_is_waited_for_and_followed(
    sender: Callable[[int], None], tmp_path: Path, server: EmbeddedRedis
) -> None:
    client = streams.connect(server.url)
    port = free_port(socket.SOCK_DGRAM)
    with capture(f"udp://@:{port}", server.url, CAMERA, *FAST, cwd=tmp_path) as process:
        wait_until(lambda: facts(client).get("state") == "lost", what="nobody sends yet")
        sender(port)
        more(client, 60)
        some = frames(client)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    check_order(some)
    shown = numbers(some)[-30:]
    assert shown == sorted(shown)
    assert "no answer within 2 s" in log


@pytest.fixture
def paced(tmp_path: Path) -> Iterator[Callable[[Path], tuple[str, subprocess.Popen[str]]]]:
    """Serves a file's MPEG-TS at its own pace, in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(path: Path) -> tuple[str, subprocess.Popen[str]]:
        port = free_port()
        command = [sys.executable, "-m", "tests.paced_server", str(port), str(path)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return f"http://127.0.0.1:{port}/camera", process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("key_frames", [12, pytest.param(75, marks=pytest.mark.soak)])
def test_a_decoder_slower_than_the_camera_leaves_frames_out_and_stays_in_the_present(
    paced: Callable[[Path], tuple[str, subprocess.Popen[str]]],
    tmp_path: Path,
    server: EmbeddedRedis,
    key_frames: int,
) -> None:
    """25 frames a second come, 10 can be decoded: without that it was 16 s behind at the end."""
    client = streams.connect(server.url)
    many = 250
    clip = write_video(tmp_path / "c.ts", [n / 25 for n in range(many)], key_frames=key_frames)
    url, camera = paced(clip)
    slow = ("-m", "tests.services.capture.slow_capture", "0.1")
    with capture(url, server.url, CAMERA, *FAST, cwd=tmp_path, module=slow) as process:
        assert camera.stdout is not None
        began = float(camera.stdout.readline())
        wait_until(lambda: facts(client).get("state") == "lost", 60, what="the camera's end")
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    some = frames(client)
    check_order(some)
    shown = numbers(some)
    assert shown == sorted(set(shown))
    ages = [
        (frame.published_at_ms or 0) / 1000 - began - number / 25
        for frame, number in zip(some, shown, strict=True)
    ]
    assert max(ages) < 4
    assert shown[-1] > many - 75 - 25
    left_out = counts(client, "undecoded_by_capture")
    assert left_out > 50
    assert captured(client) == len(some)
    assert captured(client) + counts(client, "skipped_by_capture") + left_out == many
    assert "decoding cannot keep up with http://127" in log
    assert counts(client, "stalls") == 0


class _Web(http.server.SimpleHTTPRequestHandler):
    """Serves files, and under /mjpeg a camera that fails in the way its path says."""

    gone = threading.Event()

    def do_GET(self) -> None:
        if not self.path.startswith("/mjpeg"):
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        with contextlib.suppress(OSError):
            for number in range(10_000):
                _, jpeg = cv2.imencode(".jpg", numbered_picture(number))
                data = jpeg.tobytes()
                if number >= 15 and self.path.endswith("silent"):
                    self.gone.wait(60)
                if number >= 15 and self.path.endswith("junk"):
                    data = b"\xff\xd8" + b"no picture" * 20 + b"\xff\xd9"
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data + b"\r\n")
                if self.gone.wait(0.1):
                    return

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    _Web.gone.clear()

    def handler(*args: object) -> _Web:
        return _Web(*args, directory=str(tmp_path))  # type: ignore[arg-type]

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:  # type: ignore[arg-type]
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        _Web.gone.set()
        server.shutdown()


@pytest.mark.parametrize("ending", ["mp4", "ts"])
def test_a_file_behind_a_url_is_played_to_its_end(
    web: str, tmp_path: Path, server: EmbeddedRedis, ending: str
) -> None:
    client = streams.connect(server.url)
    write_video(tmp_path / f"a.{ending}", [n / 25 for n in range(50)])
    with capture(f"{web}/a.{ending}", server.url, CAMERA, cwd=tmp_path) as process:
        _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert numbers(frames(client)) == list(range(50))
    assert [f.pts_s for f in frames(client)] == pytest.approx([n / 25 for n in range(50)], abs=1e-3)
    assert facts(client)["state"] == "ended"
    assert counts(client, "skipped_by_capture") == 0


@pytest.mark.parametrize(
    ("how", "said"),
    [("silent", r"connected, but silent for \d s"), ("junk", r"none of the \d+ packets")],
)
def test_a_camera_that_stops_giving_pictures_has_stalled(
    web: str, tmp_path: Path, server: EmbeddedRedis, how: str, said: str
) -> None:
    client = streams.connect(server.url)
    with capture(f"{web}/mjpeg/{how}", server.url, CAMERA, *FAST, cwd=tmp_path) as process:
        wait_until(lambda: counts(client, "stalls") == 1, what="the stall noticed")
        wait_until(lambda: counts(client, "reconnects") == 1, what="another try")
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    assert re.search(said, log), log
    some = frames(client)
    check_order(some)
    first = some[:15]  # ten a second, though FFmpeg takes it for 25
    assert (first[-1].pts_s - first[0].pts_s) / 14 == pytest.approx(0.1, abs=0.04)


def test_a_source_that_is_away_for_too_long_is_given_up(
    tmp_path: Path, server: EmbeddedRedis
) -> None:
    url = f"rtsp://127.0.0.1:{free_port()}/camera"
    with capture(url, server.url, CAMERA, *FAST, "capture.patience_s=1", cwd=tmp_path) as process:
        _, log = process.communicate(timeout=30)
    assert process.returncode == 2
    assert re.search(r"cannot open rtsp://127.*; gave up after \d s", log)
    assert "Traceback" not in log
