"""Two hosts that share a Redis: network namespaces joined by a cable, which is pulled."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis

from platestream import messages, streams
from platestream.demo import built_in_clip
from platestream.embedded_redis import die_with_parent
from platestream.settings import RedisSettings
from platestream.video import VideoSource
from tests.conftest import wait_until
from tests.deploy.redis.conftest import DEPLOY, need, write_secrets
from tests.numbered import number_of

pytestmark = pytest.mark.timeout(300)

CAMERA = "gate-1"
ADDRESS_A, ADDRESS_B = "198.18.0.1", "198.18.0.2"  # of RFC 2544: for tests of networks
PATIENCE_S = 120.0  # the networks of OCR may take long to load on a busy machine
LOCAL_URL = "rediss://127.0.0.1:6379/0"  # of host A
REMOTE_URL = f"rediss://{ADDRESS_A}:6379/0"


class Hosts:
    """Two network namespaces and a cable between them; nothing else leads in or out."""

    def __init__(self) -> None:
        """Makes them; skips the test where that is not allowed."""
        if shutil.which("ip") is None:
            if os.environ.get("CI"):
                pytest.fail("CI needs ip (Debian: iproute2)")
            pytest.skip("no ip (Debian: iproute2) here")
        self.a, self.b = (f"platestream-{os.getpid()}-{name}" for name in "ab")
        made = subprocess.run(["ip", "netns", "add", self.a], capture_output=True, text=True)
        if made.returncode:
            pytest.skip(f"network namespaces may not be made here: {made.stderr.strip()}")
        try:
            _ip("netns", "add", self.b)
            _ip("link", "add", "cable", "netns", self.a, "type", "veth",
                "peer", "name", "cable", "netns", self.b)  # fmt: skip
            for host, address in ((self.a, ADDRESS_A), (self.b, ADDRESS_B)):
                _ip("-n", host, "address", "add", f"{address}/24", "dev", "cable")
                _ip("-n", host, "link", "set", "lo", "up")
                _ip("-n", host, "link", "set", "cable", "up")
        except BaseException:
            self.remove()
            raise

    def pull(self) -> None:
        """Pulls the cable out of host B."""
        _ip("-n", self.b, "link", "set", "cable", "down")

    def plug(self) -> None:
        """Puts it back."""
        _ip("-n", self.b, "link", "set", "cable", "up")

    def remove(self) -> None:
        """Takes both hosts away, and the cable with them."""
        for host in (self.a, self.b):
            subprocess.run(["ip", "netns", "delete", host], capture_output=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    made = Hosts()
    yield made
    made.remove()


@contextmanager
def process(
    host: str, folder: Path, name: str, environment: dict[str, str], *command: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A process on a host; it ends with the block, and what it said is shown if that fails."""
    log = folder / f"{name}.log"
    with log.open("w") as file:
        # `ip netns exec` becomes the command: the process is the service itself
        started = subprocess.Popen(
            ["ip", "netns", "exec", host, *command],
            stdout=file,
            stderr=file,
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "OMP_NUM_THREADS": "1",
                **environment,
            },
            preexec_fn=die_with_parent,
        )
    try:
        yield started
    except BaseException:
        print(f"--- {name}\n{log.read_text()[-3000:]}")
        raise
    finally:
        started.terminate()
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


class Installation:
    """What `deploy/two-hosts` starts: all but OCR on host A, OCR on host B; a camera is a file.

    Redis has users and TLS, and is started as it is there.
    """

    def __init__(
        self, stack: ExitStack, hosts: Hosts, folder: Path, source: Path, program: str
    ) -> None:
        self._stack = stack
        self._folder = folder
        self._secrets = write_secrets(folder / "secrets")
        self._certificates = folder / "certificates"
        need("openssl")
        make = [str(DEPLOY / "make-certificates.sh"), str(self._certificates)]
        subprocess.run([*make, "127.0.0.1", ADDRESS_A], check=True)
        for name in ("bin", "data"):
            (folder / name).mkdir()
        (folder / "bin" / "redis-server").symlink_to(program)
        environment = {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "REDIS_DATA": str(folder / "data"),
            "REDIS_SECRETS": str(self._secrets),
            "REDIS_CERTIFICATES": str(self._certificates),
        }
        socket = folder / "redis.sock"  # for the test, which is on neither host
        listens = ("--bind", "127.0.0.1", ADDRESS_A, "--unixsocket", str(socket))
        self._start(hosts.a, "redis", environment, str(DEPLOY / "start.sh"), *listens)
        wait_until(socket.exists, what="Redis")
        self.client = streams.connect(
            RedisSettings(
                url=f"unix://{socket}",
                username="admin",
                password_file=self._secrets / "redis_admin",
            )
        )
        local = ("--camera", CAMERA, "--redis", LOCAL_URL, "--set", "streams.pixels=jpeg")
        self.video = folder / "out.mp4"
        self.writer = self._service(hosts.a, "writer", str(self.video), "--once", *local)
        self._service(hosts.a, "visualize", *local)
        self._service(hosts.a, "track", *local)
        self.capture = self._service(hosts.a, "capture", str(source), *local)

    def ocr(self, host: str, url: str) -> str:
        """Starts an OCR replica; returns its name."""
        name = f"ocr-on-{host[-1]}"
        self._service(host, "ocr", "--camera", CAMERA, "--redis", url, "--name", name,
                      "--set", "ocr.claim_after_ms=500")  # fmt: skip
        return name

    def held_by(self, name: str) -> set[int]:
        """The frames that a replica has been handed and is not done with."""
        rows = self.client.xpending_range(
            streams.frames_key(CAMERA), streams.OCR, "-", "+", 100, consumername=name
        )
        return {streams.frame_id_of(row["message_id"]) for row in rows}

    def read(self) -> set[int]:
        """The frames whose readings there are."""
        entries = self.client.xrange(streams.readings_key(CAMERA))
        return {messages.parse_reading(fields).frame_id for _, fields in entries}

    def passages(self) -> list[messages.Passage]:
        """All passages, once the tracker has come to the end."""
        found: list[messages.Passage | messages.End] = []

        def ended() -> bool:
            entries = self.client.xrange(streams.passages_key(CAMERA))
            found[:] = [messages.parse_passage(fields) for _, fields in entries]
            return any(isinstance(entry, messages.End) for entry in found)

        wait_until(ended, PATIENCE_S, what="the end of the passages")
        return [entry for entry in found if isinstance(entry, messages.Passage)]

    def beats(self, service: str) -> bool:
        """Whether Redis has heard of a service lately."""
        pattern = f"alive:{{{CAMERA}}}:{service}:*"
        return any(True for _ in self.client.scan_iter(match=pattern, count=1000))

    def finish(self, frames: int) -> None:
        """Waits for the end, and sees that every frame is there, once and in order."""
        assert self.writer.wait(PATIENCE_S) == 0
        assert self.capture.wait(30) == 0
        lines = self.video.with_name("out.readings.jsonl").read_text().splitlines()
        assert [json.loads(line)["frame_id"] for line in lines] == list(range(1, frames + 1))
        # the writer does not wait for OCR, which on a slow machine still reads the last ones
        expected = set(range(1, frames + 1))
        wait_until(lambda: self.read() == expected, PATIENCE_S, what="a reading of every frame")

    def _service(self, host: str, name: str, *words: str) -> subprocess.Popen[bytes]:
        environment = {
            "PLATESTREAM_REDIS__USERNAME": name,
            "PLATESTREAM_REDIS__PASSWORD_FILE": str(self._secrets / f"redis_{name}"),
            "PLATESTREAM_REDIS__CA_FILE": str(self._certificates / "ca.crt"),
        }
        command = (sys.executable, "-m", f"services.{name}", *words)
        return self._start(host, name, environment, *command)

    def _start(
        self, host: str, name: str, environment: dict[str, str], *command: str
    ) -> subprocess.Popen[bytes]:
        folder = self._folder / host[-1]
        folder.mkdir(exist_ok=True)
        return self._stack.enter_context(process(host, folder, name, environment, *command))


def pull_for_long(hosts: Hosts, installation: Installation, replica: str, after: int) -> set[int]:
    """Pulls the cable while a replica holds frames, and until Redis has not heard of it for 6 s.

    Returns:
        The frames that it held.
    """
    while True:
        wait_until(lambda n=after: len(installation.read()) >= n, PATIENCE_S, f"{after} readings")
        hosts.pull()
        wait_until(lambda: not installation.beats("ocr"), PATIENCE_S, "OCR missed")
        held = installation.held_by(replica)
        if held:
            return held
        hosts.plug()
        after = len(installation.read()) + 5


@pytest.mark.soak
def test_ocr_on_another_host_reads_the_clip_over_a_cable_that_is_pulled(
    hosts: Hosts, tmp_path: Path, find_redis: Callable[[str], str]
) -> None:
    clip, truth = built_in_clip()
    with ExitStack() as stack:
        installation = Installation(stack, hosts, tmp_path, clip, find_redis("system"))
        replica = installation.ocr(hosts.b, REMOTE_URL)
        held = pull_for_long(hosts, installation, replica, after=60)
        before = installation.read()
        assert not held & before
        assert len(before) < 300
        hosts.plug()
        installation.finish(300)
        passages = installation.passages()
        texts = {passage.text for passage in passages if passage.accepted}
        assert len(texts & {plate["text"] for plate in truth["plates"]}) >= 5
        assert texts <= {plate["text"] for plate in truth["plates"]}


@pytest.mark.soak
@pytest.mark.usefixtures("blind_ocr")
def test_frames_of_a_host_that_is_cut_off_are_read_by_another(
    hosts: Hosts,
    make_video: Callable[..., Path],
    tmp_path: Path,
    find_redis: Callable[[str], str],
) -> None:
    """The cable stays out; a replica on host A takes over what the one on host B holds."""
    source = make_video(tmp_path / "in.mp4", frames=100)
    with ExitStack() as stack:
        installation = Installation(stack, hosts, tmp_path, source, find_redis("system"))
        replica = installation.ocr(hosts.b, REMOTE_URL)
        held = pull_for_long(hosts, installation, replica, after=20)
        other = installation.ocr(hosts.a, LOCAL_URL)
        installation.finish(100)
        assert held <= readings_of(installation.client, other)
        counts = streams.read_hash(installation.client, streams.counts_key(CAMERA))
        assert int(counts["claimed_by_ocr"]) >= len(held)
        with VideoSource(str(installation.video)) as video:
            assert [number_of(frame.image) for frame in video.frames()] == list(range(100))


def readings_of(client: redis.Redis, replica: str) -> set[int]:
    """The frames that a replica has read."""
    entries = client.xrange(streams.readings_key(CAMERA))
    readings = [messages.parse_reading(fields) for _, fields in entries]
    return {reading.frame_id for reading in readings if reading.replica == replica}


def test_nothing_but_the_cable_joins_the_hosts(
    hosts: Hosts, tmp_path: Path, find_redis: Callable[[str], str]
) -> None:
    """What the other tests take for granted: without the cable, host B knows no Redis."""
    with ExitStack() as stack:
        clip = built_in_clip()[0]
        installation = Installation(stack, hosts, tmp_path, clip, find_redis("system"))
        hosts.pull()
        ask = ["ip", "netns", "exec", hosts.b, sys.executable, "-c",
               "import sys, socket; socket.create_connection((sys.argv[1], 6379), 1)"]  # fmt: skip
        for address in (ADDRESS_A, "127.0.0.1"):
            assert subprocess.run([*ask, address], capture_output=True).returncode != 0
        hosts.plug()
        assert subprocess.run([*ask, ADDRESS_A], capture_output=True).returncode == 0
        assert installation.client.ping()
