"""A camera over RTSP that comes and goes, through a real capture process and a real server."""

from __future__ import annotations

import contextlib
import itertools
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from platestream import pixels, streams
from platestream.embedded_redis import EmbeddedRedis, redis_server
from tests.conftest import MadeOnce, wait_until
from tests.numbered import number_of
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
from tests.sources import (
    RtspServer,
    capture,
    free_port,
    rtsp_server,
    self_made_certificate,
    write_video,
)


@pytest.fixture
def rtsp() -> Iterator[RtspServer]:
    with rtsp_server() as server:
        yield server


@pytest.fixture(scope="session")
def clip(made_once: MadeOnce) -> Path:
    """Eighty seconds with numbered frames."""
    times = [n / 25 for n in range(2000)]
    return made_once("rtsp", lambda folder: write_video(folder / "clip.mp4", times)) / "clip.mp4"


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


def test_over_tls_a_camera_is_followed_once_its_certificate_is_named(
    clip: Path, tmp_path: Path, server: EmbeddedRedis
) -> None:
    client = streams.connect(server.url)
    file = tmp_path / "camera.pem"
    self_made_certificate(file, "IP:127.0.0.1")
    with rtsp_server(certificate=(file, file)) as rtsp:
        rtsp.start(clip)
        with capture(rtsp.url, server.url, CAMERA, *FAST, cwd=tmp_path) as process:
            wait_until(lambda: facts(client).get("state") == "lost", what="it is refused")
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=30)
        assert "its certificate is not trusted (self" in log
        assert captured(client) == 0
        trusted = f"capture.ca_file={file}"
        with capture(rtsp.url, server.url, CAMERA, trusted, *FAST, cwd=tmp_path) as process:
            wait_until(lambda: captured(client) >= 30, what="frames")
    check_order(frames(client))


def test_a_file_without_certificates_is_refused(tmp_path: Path, server: EmbeddedRedis) -> None:
    setting = f"capture.ca_file={tmp_path}/ca.pem"
    with capture("rtsps://127.0.0.1/c", server.url, CAMERA, setting, cwd=tmp_path) as process:
        _, log = process.communicate(timeout=30)
    assert process.returncode == 2
    assert f"capture.ca_file: cannot read '{tmp_path}/ca.pem'" in log
    assert "Traceback" not in log


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_server_that_dies_and_comes_back(
    rtsp: RtspServer, clip: Path, tmp_path: Path, server: EmbeddedRedis, transport: str
) -> None:
    client = streams.connect(server.url)
    rtsp.start(clip)
    choice = f"capture.rtsp_transport={transport}"
    with capture(rtsp.url, server.url, CAMERA, choice, *FAST, cwd=tmp_path) as process:
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


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_server_that_is_stalled_and_goes_on(
    rtsp: RtspServer, clip: Path, tmp_path: Path, server: EmbeddedRedis, transport: str
) -> None:
    client = streams.connect(server.url)
    rtsp.start(clip)
    choice = f"capture.rtsp_transport={transport}"
    with capture(rtsp.url, server.url, CAMERA, choice, *FAST, cwd=tmp_path) as process:
        more(client)
        rtsp.stall()
        wait_until(lambda: counts(client, "stalls") >= 3, what="the stall noticed, and its length")
        assert facts(client)["state"] == "stalled"
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
