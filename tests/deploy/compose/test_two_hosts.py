"""deploy/two-hosts: two projects on networks of their own that share a Redis: ``-m docker``."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from platestream.demo import built_in_clip
from tests.deploy.compose.installation import OWNER, Installation, docker, files

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1200)]

FRAMES = 300


@pytest.fixture(scope="module")
def host_a(installation: Installation) -> Installation:
    """All but OCR; Redis listens at an address of this host that other networks reach."""
    address = docker("network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}")
    subprocess.run(
        ["deploy/redis/make-certificates.sh", "certificates", "redis", address],
        cwd=installation.folder, check=True, timeout=60,
    )  # fmt: skip
    made = installation.with_(
        HOST_A=address,
        COMPOSE_FILE=files("deploy/compose.tls.yml", "deploy/two-hosts/host-a.yml"),
    )
    made.up()
    return made


@pytest.fixture(scope="module")
def host_b(host_a: Installation) -> Iterator[Installation]:
    """OCR, with what host A has given it; not started yet."""
    secrets = host_a.folder / "secrets"
    secrets.mkdir(mode=0o700)
    shutil.copy(host_a.folder / "certificates" / "ca.crt", secrets)
    password = secrets / "redis_ocr"
    password.write_text(
        host_a.compose("exec", "-T", "redis", "cat", "/run/secrets/redis_ocr").stdout
    )
    password.chmod(0o600)
    for path in (secrets, password):
        os.chown(path, *OWNER)
    made = Installation(
        host_a.folder,
        "platestream-test-b",
        {
            "HOST_A": host_a.environment["HOST_A"],
            "COMPOSE_FILE": files("deploy/two-hosts/host-b.yml"),
        },
    )
    yield made
    made.down()


def written(installation: Installation) -> int:
    return int(installation.redis("HGET", "counts:{gate-1}", "frames_written") or 0)


def test_host_a_has_no_ocr_and_waits(host_a: Installation) -> None:
    assert host_a.containers("ocr") == []
    (redis,) = host_a.containers("redis")
    (published,) = host_a.inspected(redis)["HostConfig"]["PortBindings"].values()
    assert published == [{"HostIp": host_a.environment["HOST_A"], "HostPort": "6379"}]
    host_a.wait_for("frame", lambda: int(host_a.redis("XLEN", "frames:{gate-1}")) > 1)
    assert host_a.redis("XLEN", "readings:{gate-1}") == "0"


def test_redis_is_spoken_to_with_tls_and_a_user_alone(host_a: Installation) -> None:
    said = host_a.compose(
        "exec", "-T", "capture", "python3", "-c",
        "from platestream import settings, streams; s = settings.load().redis;"
        "print(s.url, s.username, streams.connect(s).ping())",
    ).stdout  # fmt: skip
    assert said.strip() == "rediss://redis:6379/0 capture True"
    in_clear = "import redis; redis.Redis('redis').ping()"
    nameless = "import redis; redis.Redis('redis', ssl=True, ssl_ca_certs='/run/ca.crt').ping()"
    for script, error in ((in_clear, "ConnectionError"), (nameless, "AuthenticationError")):
        done = host_a.compose("exec", "-T", "track", "python3", "-c", script, check=False)
        assert done.returncode != 0
        assert error in done.stderr.splitlines()[-1]


def test_commands_speak_tls_too(host_a: Installation) -> None:
    assert host_a.run("platestream", "dead", "list", "--json") == ""
    assert "gate-1" in host_a.run("platestream", "cameras", "list")
    assert "gate-1" in host_a.run("status", "--json")


def test_host_b_has_them_where_it_was_given_their_passwords(host_b: Installation) -> None:
    host_b.compose("--profile", "tools", "config", "--quiet")
    without = host_b.compose("run", "--rm", "-T", "status", check=False)
    assert without.returncode == 2
    assert "cannot read '/run/secrets/redis_monitor'" in without.stderr


def test_host_b_says_what_it_lacks(host_b: Installation) -> None:
    refused = host_b.with_(SECRETS="/nowhere/at-all").compose("up", "-d", check=False)
    assert refused.returncode != 0
    assert "/nowhere/at-all" in refused.stderr
    refused = host_b.with_(HOST_A="").compose("up", "-d", check=False)
    assert refused.returncode != 0
    assert "set HOST_A to the address of host A" in refused.stderr


def test_ocr_on_host_b_loses_its_network_and_no_frame_is_lost(
    host_a: Installation, host_b: Installation
) -> None:
    host_b.up()
    (replica,) = host_b.containers("ocr")
    networks = set(host_b.inspected(replica)["NetworkSettings"]["Networks"])
    assert networks == {f"{host_b.project}_default"}  # and none of host A's
    (network,) = networks
    host_a.wait_for("frames read on host B", lambda: written(host_a) > 40)
    docker("network", "disconnect", network, replica)
    host_a.wait_for(
        "loss of OCR", lambda: not host_a.redis("--scan", "--pattern", "alive:ocr:*"), 60
    )
    assert written(host_a) < FRAMES
    docker("network", "connect", network, replica)
    host_a.wait_for_recordings(1)
    (lines,) = host_a.lines("gate-1")
    assert [line["frame_id"] for line in lines] == list(range(1, FRAMES + 1))
    every = set(range(1, FRAMES + 1))
    host_a.wait_for("reading of every frame", lambda: host_a.read() == every)
    host_a.wait_for("end of the passages", lambda: host_a.texts("end", "passages:{gate-1}"))
    texts = host_a.texts("text", "passages:{gate-1}")
    assert {plate["text"] for plate in built_in_clip()[1]["plates"]} <= set(texts)
    assert host_b.restarts("ocr") == 0
