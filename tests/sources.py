"""Sources for tests: an RTSP server that can be stopped, a sender of MPEG-TS, files by hand."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import pytest

from platestream.demo import built_in_clip
from platestream.video import VideoEncoder, VideoSource
from tests import preloaded
from tests.numbered import numbered_picture

SYSTEM_PYTHON = "/usr/bin/python3"
_NEEDS = "import gi; gi.require_version('GstRtspServer', '1.0')"
_CLOCK = Fraction(1, 90_000)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nobody listens on."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RtspServer:
    """GStreamer's RTSP server in a process of its own: stopped, stalled and started at will."""

    def __init__(
        self, host: str = "127.0.0.1", certificate: tuple[Path, Path] | None = None
    ) -> None:
        self._host = host
        self._certificate = certificate or ()
        self.port = free_port()
        self.url = f"rtsp{'s' if certificate else ''}://{host}:{self.port}/camera"
        self._process: subprocess.Popen[str] | None = None

    def start(self, media: Path | str) -> None:
        """Serves a file with H.264, or ``mjpeg``."""
        script = Path(__file__).with_name("rtsp_server.py")
        self._process = subprocess.Popen(
            [SYSTEM_PYTHON, script, self._host, str(self.port), media, *self._certificate],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def stall(self) -> None:
        """Stops the process: connections stay, nothing comes."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Ends a stall."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Kills the server, and with it all connections."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)


@contextmanager
def rtsp_server(
    host: str = "127.0.0.1", certificate: tuple[Path, Path] | None = None
) -> Iterator[RtspServer]:
    """A server that is not started yet, for an address of this host; CI must have one.

    Args:
        certificate: The files of a certificate and its key: then it is ``rtsps://``.
    """
    there = (
        Path(SYSTEM_PYTHON).exists()
        and not subprocess.run(
            [SYSTEM_PYTHON, "-c", _NEEDS], capture_output=True, check=False
        ).returncode
    )
    if not there:
        if os.environ.get("CI"):
            pytest.fail("CI needs GStreamer's RTSP server (gir1.2-gst-rtsp-server-1.0)")
        pytest.skip("GStreamer's RTSP server (gir1.2-gst-rtsp-server-1.0) is not here")
    server = RtspServer(host, certificate)
    try:
        yield server
    finally:
        server.stop()


def write_video(
    path: Path,
    times_s: Sequence[float],
    *,
    codec: str = "libx264",
    size: tuple[int, int] = (320, 180),
    first_number: int = 0,
    rate: int = 25,
    key_frames: int = 12,
    extra: Callable[[int], int] = lambda number: 0,
) -> Path:
    """A video with a numbered picture at each time; the ending of ``path`` is its container.

    Args:
        key_frames: Frames from one to the next.
        extra: Added to the time stamp of a frame, in 90,000ths of a second, by its place.
    """
    with av.open(str(path), "w") as file:
        for packet in packets(file, times_s, codec, size, first_number, rate, key_frames):
            number = round(packet.pts)
            packet.pts = packet.dts = number + extra(number)
            file.mux(packet)
    return path


def part_of_clip(path: Path, first: int, count: int) -> Path:
    """Some frames of the built-in clip as a video of their own, whose time begins at 0.

    Args:
        first: The first of them, from 0.
    """
    with VideoSource(str(built_in_clip()[0])) as video:
        rate = Fraction(video.rate)
        encoder = VideoEncoder(path, video.width, video.height, rate)
        for number, frame in enumerate(itertools.islice(video.frames(), first, first + count)):
            encoder.write(frame.image, float(number / rate))
        encoder.close()
    return path


def packets(
    file: av.container.OutputContainer,
    times_s: Sequence[float],
    codec: str = "libx264",
    size: tuple[int, int] = (320, 180),
    first_number: int = 0,
    rate: int = 25,
    key_frames: int = 12,
) -> Iterator[av.Packet]:
    """Encoded numbered pictures, to be muxed into ``file``."""
    stream = file.add_stream(codec, rate=rate)
    stream.width, stream.height = size
    stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    # MPEG-2 and MPEG-4 encoders take no clock as fine as MPEG-TS's own
    clock = _CLOCK if codec == "libx264" else Fraction(1, rate)
    stream.time_base = stream.codec_context.time_base = clock
    stream.codec_context.gop_size = key_frames
    stream.codec_context.max_b_frames = 0
    if codec == "libx264":
        stream.options = {"preset": "ultrafast", "tune": "zerolatency"}
    for place, time_s in enumerate(times_s):
        picture = numbered_picture(first_number + place, *size)
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
        frame.pts, frame.time_base = round(time_s / _CLOCK), _CLOCK
        yield from stream.encode(frame)
    yield from stream.encode(None)


@contextmanager
def capture(
    source: str,
    url: str,
    camera: str,
    *settings: str,
    cwd: Path,
    module: Sequence[str] = ("-m", "services.capture"),
) -> Iterator[subprocess.Popen[str]]:
    """``platestream capture`` under way.

    Args:
        module: What of Python's runs it.
    """
    command = [sys.executable, *module, source, "--camera", camera, "--redis", url]
    for setting in settings:
        command += ["--set", setting]
    # a library that is to come first can only do so in a process that begins from nothing
    is_cold = module[0] != "-m" or "LD_PRELOAD" in os.environ
    start = subprocess.Popen if is_cold else preloaded.Popen
    process = start(command, stderr=subprocess.PIPE, text=True, env=_environment(), cwd=cwd)
    try:
        yield process
    finally:
        process.kill()
        with contextlib.suppress(ValueError):
            process.communicate()


def _environment() -> dict[str, str]:
    root = str(Path(__file__).parents[1])
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PLATESTREAM", "REDIS"))}
    return {**kept, "PYTHONPATH": root, "PLATESTREAM_LOG__FORMAT": "json"}


def self_made_certificate(path: Path, name: str) -> None:
    """A certificate as cameras come with, signed by itself, and its key, in one file.

    Args:
        name: Whom it is for, as openssl has it: ``DNS:camera.example``, ``IP:127.0.0.1``.
    """
    if shutil.which("openssl") is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs openssl")
        pytest.skip("no openssl here")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"]
    command += ["ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=camera"]
    command += ["-addext", f"subjectAltName={name}", "-keyout", f"{path}.key", "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    key = path.with_name(f"{path.name}.key")
    path.write_text(path.read_text() + key.read_text())
    key.unlink()
