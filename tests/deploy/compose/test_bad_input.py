"""What is wrong is said in a sentence, and checks of health say so, too: ``pytest -m docker``."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from platestream.video import VideoSource
from tests.deploy.compose.installation import Installation, docker, files

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1200)]

SERVICES = ("capture", "ocr", "track", "visualize", "writer")


@pytest.fixture
def impatient(installation: Installation) -> Iterator[Installation]:
    """An installation whose checks of health are the usual ones, but come every second.

    capture, which is to become unhealthy without ever having been well, gets no time to start.
    """
    often = {"interval": "1s"}
    checks = {name: {"healthcheck": often} for name in ("track", "writer")}
    checks["capture"] = {"healthcheck": often | {"start_period": "2s"}}
    overlay(installation, "impatient", {"services": checks})
    yield installation.with_(COMPOSE_FILE=files("impatient.yml"))
    # Redis serves on, emptied
    installation.compose("rm", "-sfv", *SERVICES)
    if "redis" in installation.compose("ps", "--services").stdout.split():
        installation.redis("--user", "admin", "FLUSHALL")


def overlay(installation: Installation, name: str, content: dict[str, object]) -> None:
    """A compose file beside the others; JSON is YAML."""
    (installation.folder / f"{name}.yml").write_text(json.dumps(content))


def wait_for_refusals(installation: Installation, service: str, sentence: str) -> None:
    """Waits until a service has ended more than once, each time with a sentence and code 2."""

    def refused() -> bool:
        (container,) = installation.containers(service)
        facts = installation.inspected(container)
        return facts["RestartCount"] >= 2 and facts["State"]["ExitCode"] == 2

    installation.wait_for(f"{service} that is refused", refused)
    ends = installation.restarts(service)
    said = installation.logs(service)
    assert said.count(sentence) >= ends, said
    assert "Traceback" not in said
    # between two starts Docker calls it unhealthy, else it is starting
    assert installation.health(service) != "healthy"


def test_a_typo_among_the_cameras(impatient: Installation) -> None:
    folder = impatient.folder / "cameras"
    folder.mkdir(exist_ok=True)
    (folder / "cameras.toml").write_text('[cameras.gate-1]\nsorce = "/data/a.mp4"\n')
    there = impatient.with_(CAMERAS="./cameras")
    there.compose("up", "-d", "capture")
    wait_for_refusals(there, "capture", "did you mean")


def test_no_camera_that_answers(impatient: Installation) -> None:
    url = "rtsp://127.0.0.1:9/stream"
    there = impatient.with_(SOURCE=url)
    there.compose("up", "-d", "capture")
    there.wait_for("unhealthy capture", lambda: there.health("capture") == "unhealthy")
    assert url in there.logs("capture")
    assert "Traceback" not in there.logs("capture")
    assert there.restarts("capture") == 0
    asked = there.compose(
        "exec", "-T", "capture",
        "python3", "-m", "platestream.probe", "http://127.0.0.1:9100/readyz", check=False,
    )  # fmt: skip
    assert asked.returncode == 1
    assert "no frame has come" in asked.stderr


def test_a_wrong_password(impatient: Installation) -> None:
    impatient.up("track")

    def other(script: str) -> None:
        docker("run", "--rm", "--network", "none", "-v", f"{impatient.project}_secrets:/secrets",
               "redis:7", "sh", "-ec", script)  # fmt: skip

    password = "/secrets/track/redis_track"
    other(f"echo not-this-one-at-all >{password}")
    impatient.compose("restart", "track")
    wait_for_refusals(impatient, "track", "it does not know user 'track' with this password")
    assert "not-this-one-at-all" not in impatient.logs("track")
    other(f"cat /secrets/redis/redis_track >{password}")
    impatient.wait_for("track that is let in", lambda: impatient.health("track") == "healthy")


@pytest.fixture
def small(impatient: Installation) -> Iterator[Installation]:
    """An installation whose videos go to a disk of 32 MiB."""
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=32m,mode=0777"}
    overlay(
        impatient,
        "small",
        {
            "services": {"writer": {"volumes": ["small:/out"]}},
            "volumes": {"small": {"driver_opts": options}},
        },
    )
    yield impatient.with_(COMPOSE_FILE=files("impatient.yml", "small.yml"))
    impatient.compose("rm", "-sfv", "writer")
    docker("volume", "rm", f"{impatient.project}_small")


def test_a_full_disk(small: Installation) -> None:
    small.up("writer")
    # takes what there is
    filling = ("exec", "-T", "writer", "dd", "if=/dev/zero", "of=/out/filler", "bs=64k")
    assert "No space left" in small.compose(*filling, check=False).stderr
    small.up("ocr", "track", "visualize")
    small.compose("up", "-d", "capture")
    small.wait_for("unhealthy writer", lambda: small.health("writer") == "unhealthy")
    said = small.logs("writer")
    assert "No space left on device" in said
    assert "Traceback" not in said
    small.compose("exec", "-T", "writer", "rm", "/out/filler")
    small.wait_for("healthy writer", lambda: small.health("writer") == "healthy")
    small.wait_for(
        "whole recording",
        lambda: small.redis("HGET", "recording:{gate-1}", "state") == "finished",
    )
    assert small.restarts("writer") == 0
    (video,) = small.compose("exec", "-T", "writer", "sh", "-c", "ls /out/*.mp4").stdout.split()
    copy = small.folder / "copy.mp4"
    small.compose("cp", f"writer:{video}", str(copy))
    with VideoSource(str(copy)) as source:
        assert sum(1 for _ in source.frames()) == 300


def test_an_old_redis(installation: Installation, impatient: Installation) -> None:
    server = {
        "image": "python:3.11-slim-bookworm",
        "user": "1000:1000",
        "stop_signal": "SIGKILL",
        "entrypoint": ["python3", "/old_redis.py", "5.0.14", "6379"],
        "volumes": ["./tests/old_redis.py:/old_redis.py:ro"],
        "healthcheck": {"test": ["CMD", "true"]},
    }
    overlay(installation, "old", {"services": {"redis": server}})
    installation.down()
    there = impatient.with_(COMPOSE_FILE=files("impatient.yml", "old.yml"))
    there.compose("up", "-d", "track")
    wait_for_refusals(there, "track", "it is Redis 5.0.14; platestream needs 6.2 or newer")
    there.down()


def test_a_folder_of_cameras_that_is_not_there(impatient: Installation) -> None:
    there = impatient.with_(CAMERAS="./nowhere")
    refused = there.compose("up", "-d", "capture", check=False)
    assert refused.returncode != 0
    assert "nowhere" in refused.stderr


def test_no_gpu_for_the_gpu_profile(impatient: Installation) -> None:
    if shutil.which("nvidia-smi"):
        pytest.skip("there is a GPU here")
    impatient.compose("--profile", "gpu", "build", "ocr-gpu", timeout=600)
    refused = impatient.compose("--profile", "gpu", "up", "-d", "ocr-gpu", check=False)
    assert refused.returncode != 0
    assert 'could not select device driver "nvidia"' in refused.stderr
    # where the engine lets it in all the same
    alone = ("docker", "run", "--rm", "--network", "none")
    ended = subprocess.run(
        [*alone, "platestream:ocr-gpu", "ocr"], capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 2
    assert "CUDA cannot be used here: no GPU can be seen" in ended.stderr
    assert "Traceback" not in ended.stderr
    # all that it needs is there, but what comes with the driver
    linked = docker(
        *alone[1:], "--entrypoint", "sh", "--workdir", "/opt/platestream", "platestream:ocr-gpu",
        "-c", "LD_LIBRARY_PATH=$(echo nvidia/*/lib | tr ' ' :) "
        "ldd onnxruntime/capi/libonnxruntime_providers_cuda.so",
    )  # fmt: skip
    missing = [line.split()[0] for line in linked.splitlines() if "not found" in line]
    assert missing == ["libcuda.so.1"]
