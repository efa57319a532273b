"""Redis as the manifests have it: its users, its start."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import redis

from platestream import streams
from platestream.settings import RedisSettings
from tests.conftest import wait_until
from tests.deploy.kubernetes.manifests import (
    SERVICES,
    Document,
    container,
    mounted,
    variables,
    workloads,
)


def test_redis_has_the_users_that_services_are(documents: list[Document]) -> None:
    (config,) = [
        d for d in documents
        if d["kind"] == "ConfigMap" and d["metadata"]["name"].startswith("redis-")
    ]  # fmt: skip
    users = set(re.findall(r"^user (\w+)", config["data"]["users.acl"], re.M)) - {"default"}
    (secret,) = [
        d for d in documents
        if d["kind"] == "Secret" and d["metadata"]["name"].startswith("redis-passwords-")
    ]  # fmt: skip
    passwords = {
        key.removeprefix("redis_"): base64.b64decode(value).decode()
        for key, value in secret["data"].items()
    }
    assert SERVICES | {"admin", "monitor", "run"} == set(passwords) == users
    assert all(len(password) >= 12 for password in passwords.values())
    assert len(set(passwords.values())) == len(passwords)
    _, script = container(workloads(documents)["redis"])["command"]
    assert Path(script).name in config["data"]


@pytest.fixture
def command(
    documents: list[Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """What starts Redis as the manifest has it: its command, environment and files, here."""
    if shutil.which("redis-server") is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs a redis-server")
        pytest.skip("no redis-server here")
    workload = workloads(documents)["redis"]
    for path, (text, mode) in mounted(documents, workload).items():
        here = tmp_path / path.strip("/")
        here.parent.mkdir(exist_ok=True)
        here.write_text(text)
        here.chmod(mode)
    for variable, value in variables(documents, workload).items():
        monkeypatch.setenv(variable, value if value[0] != "/" else str(tmp_path / value[1:]))
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("REDIS_DATA", str(tmp_path / "data"))
    shell, script = container(workload)["command"]
    return [shell, str(tmp_path / script.strip("/"))]


def test_passwords_that_everybody_knows_are_refused(command: list[str]) -> None:
    """The example as it stands: what is in the repository is no password."""
    done = subprocess.run([*command, "--port", "0"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "still holds 'change-me" in done.stderr


def test_redis_starts_as_the_manifest_has_it(
    documents: list[Document], command: list[str], tmp_path: Path
) -> None:
    """A service's user gets in, nobody else does."""
    secrets = tmp_path / "secrets"
    for secret in secrets.iterdir():
        secret.chmod(0o640)
        secret.write_text(secret.read_text().replace("change-me", "a-word-of-one's-own"))
    socket = tmp_path / "redis.sock"
    process = subprocess.Popen(
        [*command, "--port", "0", "--unixsocket", str(socket)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        wait_until(lambda: socket.exists() or process.poll() is not None, what="Redis")
        assert process.poll() is None, process.communicate()[0]
        here = RedisSettings(
            url=f"unix://{socket}", username="ocr", password_file=secrets / "redis_ocr"
        )
        assert streams.connect(here).ping()
        for url in (f"unix://{socket}", f"unix://ocr:wrong@{socket}"):
            with pytest.raises(redis.AuthenticationError):
                streams.connect(url).ping()
        probe = container(workloads(documents)["redis"])["readinessProbe"]["exec"]["command"]
        asked = [word.replace("/secrets", str(secrets)).replace(
            "redis-cli", f"redis-cli -s {socket}") for word in probe]  # fmt: skip
        assert subprocess.run(asked).returncode == 0
    finally:
        process.terminate()
        process.wait(20)
    assert subprocess.run(asked, capture_output=True).returncode != 0
