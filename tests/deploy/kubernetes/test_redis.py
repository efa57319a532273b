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
from tests.conftest import wait_until
from tests.deploy.kubernetes.manifests import (
    SERVICES,
    Document,
    container,
    only,
    pod,
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


def _answers(client: streams.Client) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_redis_starts_as_the_manifest_has_it(
    documents: list[Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its command, environment and files, here; a service's user gets in, nobody else does."""
    server = shutil.which("redis-server")
    if server is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs a redis-server")
        pytest.skip("no redis-server here")
    workload = workloads(documents)["redis"]
    mounts = {m["name"]: tmp_path / m["mountPath"].strip("/") for m in
              container(workload)["volumeMounts"]}  # fmt: skip
    for volume in pod(workload)["volumes"]:
        mounts[volume["name"]].mkdir()
        if "configMap" in volume:
            mode = volume["configMap"]["defaultMode"]
            data = only(documents, "ConfigMap", volume["configMap"]["name"])["data"]
        else:
            mode = volume["secret"]["defaultMode"]
            encoded = only(documents, "Secret", volume["secret"]["secretName"])["data"]
            data = {key: base64.b64decode(value).decode() for key, value in encoded.items()}
        for name, text in data.items():
            (mounts[volume["name"]] / name).write_text(text)
            (mounts[volume["name"]] / name).chmod(mode)
    mounts["data"].mkdir()
    shell, script = container(workload)["command"]
    for variable, value in variables(documents, workload).items():
        monkeypatch.setenv(variable, value if value[0] != "/" else str(tmp_path / value[1:]))
    monkeypatch.setenv("REDIS_DATA", str(mounts["data"]))
    socket = tmp_path / "redis.sock"
    process = subprocess.Popen(
        [shell, str(tmp_path / script.strip("/")), "--port", "0", "--unixsocket", str(socket)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        wait_until(lambda: socket.exists() or process.poll() is not None, what="Redis")
        assert process.poll() is None, process.communicate()[0]
        user = streams.connect(f"unix://ocr:change-me-ocr-0@{socket}")
        assert user.ping()
        for url in (f"unix://{socket}", f"unix://ocr:wrong@{socket}"):
            with pytest.raises(redis.AuthenticationError):
                streams.connect(url).ping()
        probe = container(workload)["readinessProbe"]["exec"]["command"]
        asked = [word.replace("/secrets", str(mounts["secrets"])).replace(
            "redis-cli", f"redis-cli -s {socket}") for word in probe]  # fmt: skip
        assert subprocess.run(asked).returncode == 0
    finally:
        process.terminate()
        process.wait(20)
    assert subprocess.run(asked, capture_output=True).returncode != 0
