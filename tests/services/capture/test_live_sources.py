"""Live sources other than RTSP: MPEG-TS over UDP, files behind a URL, more than can be decoded."""

from __future__ import annotations

import contextlib
import http.server
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

from platestream import streams
from platestream.embedded_redis import EmbeddedRedis
from tests.conftest import MadeOnce, wait_until
from tests.numbered import numbered_picture
from tests.platestream.video.test_damage import decode, destroyed
from tests.services.capture.published import (
    CAMERA,
    FAST,
    captured,
    check_order,
    counts,
    facts,
    frames,
    more,
    numbers,
)
from tests.sources import capture, free_port, packets, write_video


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


def test_mpeg_ts_over_udp_that_falls_silent_has_stalled_and_is_followed_again(
    paced_udp: Callable[[int], subprocess.Popen[str]], tmp_path: Path, server: EmbeddedRedis
) -> None:
    client = streams.connect(server.url)
    port = free_port(socket.SOCK_DGRAM)
    camera = paced_udp(port)
    with capture(f"udp://@:{port}", server.url, CAMERA, *FAST, cwd=tmp_path) as process:
        more(client, 30)
        camera.send_signal(signal.SIGSTOP)
        wait_until(lambda: counts(client, "stalls") == 1, what="the silence noticed")
        wait_until(lambda: facts(client)["state"] == "lost", what="nobody there at the next try")
        camera.kill()
        paced_udp(port)
        wait_until(lambda: facts(client)["state"] == "live", what="live again")
        more(client, 30)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    assert counts(client, "reconnects") == 1
    check_order(frames(client), held=1)
    assert "connected, but silent for 2 s" in log


@pytest.fixture
def paced_udp(made_once: MadeOnce) -> Iterator[Callable[[int], subprocess.Popen[str]]]:
    """Sends a minute of MPEG-TS to a UDP port at its own pace, in a process of its own."""
    times = [n / 25 for n in range(1500)]
    clip = made_once("udp", lambda folder: write_video(folder / "a.ts", times)) / "a.ts"
    started: list[subprocess.Popen[str]] = []

    def start(port: int) -> subprocess.Popen[str]:
        url = f"udp://127.0.0.1:{port}?pkt_size=1316"
        command = [sys.executable, "-m", "tests.paced_server", url, str(clip)]
        root = Path(__file__).parents[3]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


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
    """25 frames a second come, 10 can be decoded: without that it was 9 s behind at the end."""
    client = streams.connect(server.url)
    many = 150 if key_frames < 25 else 250  # some key frames, between which to leave out frames
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
    """Serves files, and under /mjpeg a camera that fails in the way its path says.

    Under /half the first half of a file comes, and the other not before ``whole`` is set: it
    waits (``stalls``), or the connection is closed.
    """

    gone = threading.Event()
    whole = threading.Event()

    def do_GET(self) -> None:
        if self.path.startswith("/half"):
            _, _, how, name = self.path.split("/")
            self._serve_half(Path(self.directory) / name, how)
            return
        if not self.path.startswith("/mjpeg"):
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        with contextlib.suppress(OSError):
            if self.path.endswith("dumb"):
                self.gone.wait(60)
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

    def _serve_half(self, file: Path, how: str) -> None:
        data = file.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(data[: len(data) // 2])
            if how == "stalls":
                self.whole.wait(60)
            if self.whole.is_set():
                self.wfile.write(data[len(data) // 2 :])

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    _Web.gone.clear()
    _Web.whole.clear()

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


@pytest.mark.parametrize("how", ["stalls", "closes"])
def test_a_file_behind_a_url_goes_on_where_its_server_failed(
    web: str, tmp_path: Path, server: EmbeddedRedis, how: str
) -> None:
    """It is not played from its beginning again, and not taken to have ended."""
    client = streams.connect(server.url)
    write_video(tmp_path / "a.mkv", [n / 25 for n in range(150)])
    url = f"{web}/half/{how}/a.mkv"
    with capture(url, server.url, CAMERA, *FAST, cwd=tmp_path) as process:
        state = "stalled" if how == "stalls" else "lost"
        wait_until(lambda: facts(client).get("state") == state, what=state)
        assert 50 < captured(client) < 100
        _Web.whole.set()
        _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert numbers(frames(client)) == list(range(150))
    assert counts(client, "reconnects") == 1


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


def test_a_camera_that_answers_and_gives_nothing_has_stalled(
    web: str, tmp_path: Path, server: EmbeddedRedis
) -> None:
    """Not even FFmpeg's opening of it comes to an end."""
    client = streams.connect(server.url)
    with capture(f"{web}/mjpeg/dumb", server.url, CAMERA, *FAST, cwd=tmp_path) as process:
        wait_until(lambda: counts(client, "stalls") >= 2, what="a second try")
        assert facts(client)["state"] == "stalled"
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    assert re.search(r"mjpeg/dumb is connected, but silent for \d s; trying again", log), log
    assert "cannot open" not in log


def test_a_source_that_is_away_for_too_long_is_given_up(
    tmp_path: Path, server: EmbeddedRedis
) -> None:
    url = f"rtsp://127.0.0.1:{free_port()}/camera"
    with capture(url, server.url, CAMERA, *FAST, "capture.patience_s=1", cwd=tmp_path) as process:
        _, log = process.communicate(timeout=30)
    assert process.returncode == 2
    assert re.search(r"cannot open rtsp://127.*; gave up after \d s", log)
    assert "Traceback" not in log


def test_frames_that_come_damaged_are_counted(
    paced: Callable[[Path], tuple[str, subprocess.Popen[str]]],
    tmp_path: Path,
    server: EmbeddedRedis,
) -> None:
    """The decoder says nothing of most of them: no error, no mark, no picture."""
    client = streams.connect(server.url)
    clip = write_video(tmp_path / "c.ts", [n / 25 for n in range(100)])
    clip.write_bytes(destroyed(clip.read_bytes()))
    packets, decodable, _ = decode(clip)
    url, _ = paced(clip)
    with capture(url, server.url, CAMERA, *FAST, cwd=tmp_path) as process:
        wait_until(lambda: facts(client).get("state") == "lost", 60, what="the camera's end")
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    assert captured(client) + counts(client, "skipped_by_capture") == decodable
    assert counts(client, "damaged_by_capture") == packets - decodable > 0
    assert "came damaged, or gave no picture" in log
