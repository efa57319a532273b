"""TLS with certificates from ``make-certificates.sh``: services talk over it, or say why not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from platestream import streams
from platestream.errors import RedisError
from platestream.settings import RedisSettings
from tests import preloaded
from tests.deploy.redis.conftest import DEPLOY, SecuredRedis, need

CAMERA = "gate-1"


def make_certificates(folder: Path, *names: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(DEPLOY / "make-certificates.sh"), str(folder), *names], capture_output=True, text=True
    )


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    need("openssl")
    done = make_certificates(tmp_path / "tls", "localhost", "127.0.0.1")
    assert done.returncode == 0, done.stderr
    return tmp_path / "tls"


def track(environment: dict[str, str]) -> tuple[int, str]:
    """Exit code and last error of a service that is to be refused."""
    done = preloaded.run(
        [sys.executable, "-m", "services.track", "--camera", CAMERA, "--set", "log.format=json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    fatal = [line for line in done.stderr.splitlines() if '"fatal": true' in line]
    return done.returncode, json.loads(fatal[-1])["event"]


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [("a file/tls", "cannot make the folder"), ("/proc/self", "cannot write into the folder")],
)
def test_a_folder_that_takes_none_is_named(tmp_path: Path, folder: str, sentence: str) -> None:
    need("openssl")
    (tmp_path / "a file").touch()
    done = make_certificates(tmp_path / folder, "localhost")
    assert done.returncode == 2
    assert f"{sentence} '{tmp_path / folder}'" in done.stderr


def test_certificates_are_what_they_should_be(certificates: Path) -> None:
    for name in ("ca", "server", "client"):
        assert (certificates / f"{name}.key").stat().st_mode & 0o777 == 0o600
    for name in ("server", "client"):
        subprocess.run(
            ["openssl", "verify", "-CAfile", "ca.crt", f"{name}.crt"], cwd=certificates, check=True
        )
    before = (certificates / "ca.key").read_bytes()
    again = make_certificates(certificates, "localhost")
    assert again.returncode == 2
    assert "is there already" in again.stderr
    assert (certificates / "ca.key").read_bytes() == before
    assert make_certificates(certificates.parent / "other").returncode == 2
    bad = make_certificates(certificates.parent / "other", "a,DNS:b")
    assert bad.returncode == 2
    assert "neither a host name nor an IP address" in bad.stderr


@pytest.mark.usefixtures("blind_ocr")
def test_run_over_tls(
    start: Callable[..., SecuredRedis],
    certificates: Path,
    make_video: Callable[..., Path],
    tmp_path: Path,
) -> None:
    server = start("system", certificates)
    assert server.url.startswith("rediss://")
    source = make_video(tmp_path / "in.mp4", frames=25)
    command = [sys.executable, "-m", "platestream", "run"]
    command += [str(source), "--output", str(tmp_path / "out.mp4"), "--camera", CAMERA, "--json"]
    done = preloaded.run(
        command, env=server.environment("run"), capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["frames_written"] == 25
    assert server.client("admin").info("clients")["connected_clients"] >= 1
    port = server.url.rpartition(":")[2]
    shaken = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", "ca.crt", "-brief"],
        cwd=certificates,
        input="",
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "Verification: OK" in shaken.stderr + shaken.stdout


def test_a_wrong_authority_is_said(
    start: Callable[..., SecuredRedis], certificates: Path, tmp_path: Path
) -> None:
    server = start("system", certificates)
    other = tmp_path / "other"
    assert make_certificates(other, "127.0.0.1").returncode == 0
    code, said = track(
        server.environment("track") | {"PLATESTREAM_REDIS__CA_FILE": str(other / "ca.crt")}
    )
    assert code == 2
    assert "its certificate is not good" in said
    assert f"now '{other / 'ca.crt'}'" in said
    code, said = track(server.environment("track") | {"PLATESTREAM_REDIS__CA_FILE": ""})
    assert code == 2
    assert "now the system's authorities" in said


def test_a_certificate_of_another_host_is_said(
    start: Callable[..., SecuredRedis], certificates: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    assert make_certificates(other, "redis.example", "127.0.0.1").returncode == 0
    server = start("system", other)
    environment = server.environment("track")
    environment["PLATESTREAM_REDIS__URL"] = server.url.replace("127.0.0.1", "localhost")
    code, said = track(environment)
    assert code == 2
    assert "must name 'localhost'" in said


def test_clients_may_have_to_show_a_certificate(
    start: Callable[..., SecuredRedis], certificates: Path
) -> None:
    server = start("system", certificates)
    server.client("admin").config_set("tls-auth-clients", "yes")
    without = server.settings("monitor")
    with pytest.raises(streams.FAILURE) as caught:
        streams.connect(without).ping()
    assert "redis.cert_file, redis.key_file" in str(streams.refusal(caught.value, without))
    own = without.model_copy(
        update={
            "cert_file": certificates / "client.crt",
            "key_file": certificates / "client.key",
        }
    )
    assert streams.connect(own).ping()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ca_file": "nowhere.crt"}, "redis.ca_file: cannot read 'nowhere.crt': No such file"),
        ({"cert_file": __file__}, "redis.cert_file and redis.key_file go together"),
        ({"url": "redis://localhost", "ca_file": __file__}, "redis.ca_file is for TLS"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change: dict[str, str], sentence: str) -> None:
    with pytest.raises(RedisError, match=sentence):
        streams.connect(RedisSettings(**{"url": "rediss://localhost", **change}))
