"""docker-compose.yml on a real engine: ``pytest -m docker``.

The tests go through one installation in order: it comes up, reads the clip, is scaled, hurt, and
taken away. Nothing is configured but whose files they are, and a name of its own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from platestream.demo import built_in_clip
from platestream.video import VideoSource
from training.synthesis.crop import plate_crop

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
PROJECT = "platestream-test"
OWNER = 4321, 4322
SERVICES = {"capture", "ocr", "track", "visualize", "writer"}
MOST_MB = {"base": 400, "ocr": 700}
FRAMES = 300


class Installation:
    """A checkout as a fresh clone has it, and ``docker compose`` in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"

    def compose(
        self, *arguments: str, timeout: float = 300, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["docker", "compose", *arguments],
            cwd=self.folder,
            env={
                **{k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "DOCKER_HOST")},
                "COMPOSE_PROJECT_NAME": PROJECT,
                "UID": str(OWNER[0]),
                "GID": str(OWNER[1]),
                **environment,
            },
            capture_output=True,
            text=True,
            errors="replace",  # redis-cli prints pictures, too
            timeout=timeout,
        )
        if check:
            assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}{self.logs()}"
        return done

    def logs(self, *services: str) -> str:
        return self.compose("logs", "--no-color", "--tail", "60", *services, check=False).stdout

    def redis(self, *command: str) -> str:
        return self.compose("exec", "-T", "redis", "redis-cli", *command).stdout.strip()

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "-a", "-q", service).stdout.split()

    def inspected(self, container: str) -> dict[str, object]:
        return json.loads(docker("inspect", container))[0]

    def lines(self) -> list[list[dict[str, object]]]:
        """The readings of every recording, in the order of recordings."""
        files = sorted(self.out.glob("*.readings.jsonl"), key=lambda p: p.stat().st_mtime)
        return [[json.loads(x) for x in f.read_text().splitlines()] for f in files]

    def wait_for(self, what: str, true: Callable[[], bool], seconds: float = 240) -> None:
        until = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < until, f"no {what} after {seconds} s: {self.logs()}"
            time.sleep(0.5)

    def wait_for_recordings(self, number: int) -> None:
        """Waits until so many recordings are written to their end."""

        def all_done() -> bool:
            files = list(self.out.glob("*.readings.jsonl"))
            state = self.redis("HGET", "recording:{gate-1}", "state")
            return len(files) == number and state == "finished"

        self.wait_for(f"{number} finished recordings", all_done)


def docker(*arguments: str) -> str:
    return subprocess.run(
        ["docker", *arguments], check=True, capture_output=True, text=True, timeout=120
    ).stdout.strip()


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "version"], capture_output=True, timeout=60).returncode
    ):
        pytest.skip("no Docker engine answers here")
    folder = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    for name in listed:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    made = Installation(folder)
    try:
        made.compose("build", timeout=800)
        made.compose("up", "-d", "--wait", "--wait-timeout", "200")
        yield made
    finally:
        made.compose("--profile", "*", "down", "-v", "--remove-orphans", check=False)


@pytest.mark.parametrize("image", MOST_MB)
def test_images_are_small(installation: Installation, image: str) -> None:
    size = int(docker("image", "inspect", "-f", "{{.Size}}", f"platestream:{image}"))
    print(f"platestream:{image} {size / 1e6:.0f} MB")
    assert size <= MOST_MB[image] * 1e6


def test_base_has_neither_networks_nor_training(installation: Installation) -> None:
    said = installation.compose(
        "exec", "-T", "capture", "python3", "-c",
        "from importlib.util import find_spec as find; import pathlib, platestream;"
        "print([m for m in ('torch', 'openvino', 'onnxruntime', 'scipy', 'pip') if find(m)],"
        "sorted(pathlib.Path(platestream.__file__).parent.rglob('*.onnx')))",
    ).stdout  # fmt: skip
    assert said.strip() == "[] []"


@pytest.mark.parametrize("service", sorted(SERVICES | {"redis"}))
def test_a_container_may_do_nothing_it_need_not(installation: Installation, service: str) -> None:
    (container,) = installation.containers(service)
    host = installation.inspected(container)["HostConfig"]
    assert isinstance(host, dict)
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["Memory"] > 0
    assert host["NanoCpus"] > 0
    assert host["PidsLimit"] > 0
    assert host["LogConfig"]["Config"]["max-size"]
    assert not any(host["PortBindings"] or {})
    status = installation.compose("exec", "-T", service, "cat", "/proc/1/status").stdout
    words = {line.split(":")[0]: line.split(":")[1].split() for line in status.splitlines()}
    assert "0" not in words["Uid"]
    assert words["NoNewPrivs"] == ["1"]
    assert set(words["CapEff"][0]) == set(words["CapBnd"][0]) == {"0"}
    wrote = installation.compose("exec", "-T", service, "touch", "/usr/x", check=False)
    assert "Read-only file system" in wrote.stderr


def test_the_clip_is_written_whole_and_read_right(installation: Installation) -> None:
    installation.wait_for_recordings(1)
    (lines,) = installation.lines()
    assert [line["frame_id"] for line in lines] == list(range(1, FRAMES + 1))
    (video,) = installation.out.glob("*.mp4")
    with VideoSource(str(video)) as source:
        assert sum(1 for _ in source.frames()) == FRAMES
    truth = {plate["text"] for plate in built_in_clip()[1]["plates"]}

    def passages() -> list[str]:
        return installation.redis("--raw", "XRANGE", "passages:{gate-1}", "-", "+").split("\n")

    installation.wait_for("end of the passages", lambda: "end" in passages())
    words = passages()
    texts = [words[i + 1] for i, word in enumerate(words[:-1]) if word == "text"]
    accepted = [words[i + 1] for i, word in enumerate(words[:-1]) if word == "accepted"]
    assert {text for text, sure in zip(texts, accepted, strict=True) if sure == "1"} == truth
    assert installation.inspected(installation.containers("capture")[0])["RestartCount"] == 0


def test_files_are_the_callers(installation: Installation) -> None:
    for path in (installation.out, *installation.out.iterdir()):
        assert (path.stat().st_uid, path.stat().st_gid) == OWNER


def test_a_picture_is_read_in_a_container(installation: Installation) -> None:
    (installation.folder / "data").mkdir(exist_ok=True)
    with VideoSource(str(built_in_clip()[0])) as source:
        picture = next(source.frames(skip=100)).image
    cv2.imwrite(str(installation.folder / "data" / "frame.png"), picture)
    said = installation.compose(
        "run", "--rm", "--no-deps", "-T", "ocr", "read", "--json", "/data/frame.png"
    ).stdout
    truth = {plate["text"] for plate in built_in_clip()[1]["plates"]}
    plates = json.loads(said.splitlines()[-1])["plates"]
    assert {plate["text"] for plate in plates if plate["accepted"]} & truth


def test_replicas_come_die_and_go_redis_restarts_and_nothing_is_lost(
    installation: Installation,
) -> None:
    before = int(installation.redis("HGET", "counts:{gate-1}", "frames_written"))
    installation.compose("up", "-d", "--wait", "--no-recreate", "--scale", "ocr=3")
    replicas = installation.containers("ocr")
    assert len(replicas) == 3
    installation.compose("restart", "capture")  # plays the clip once more

    def written() -> int:
        return int(installation.redis("HGET", "counts:{gate-1}", "frames_written")) - before

    installation.wait_for("frame", lambda: written() > 20)
    state = installation.inspected(replicas[0])["State"]
    assert isinstance(state, dict)
    service = service_process(state["Pid"])
    os.kill(service, signal.SIGKILL)
    installation.wait_for(
        "restart of the replica that was killed",
        lambda: installation.inspected(replicas[0])["RestartCount"] == 1,
    )
    installation.compose("restart", "redis")
    installation.compose("up", "-d", "--no-recreate", "--scale", "ocr=1")
    assert len(installation.containers("ocr")) == 1
    installation.wait_for_recordings(2)
    lines = installation.lines()[-1]
    assert [x["frame_id"] for x in lines] == list(range(FRAMES + 1, 2 * FRAMES + 1))
    assert written() == FRAMES
    assert int(installation.redis("XLEN", "dead:{gate-1}")) == 0
    groups = installation.redis("--raw", "XINFO", "GROUPS", "frames:{gate-1}").split("\n")
    pending = [groups[i + 1] for i, word in enumerate(groups[:-1]) if word == "pending"]
    assert pending == ["0", "0"]
    # at least once: what was under way when Redis restarted may be read twice, and counts once
    readings = installation.redis("--raw", "XRANGE", "readings:{gate-1}", "-", "+")
    read = {int(frame_id) for frame_id in re.findall(r"^frame_id\n(\d+)$", readings, re.M)}
    assert read == set(range(1, 2 * FRAMES + 1))


def service_process(pid: int) -> int:
    """The service below a container's first process (tini), as the host numbers it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0])


def test_each_service_has_its_own_rights_in_redis(installation: Installation) -> None:
    ask = (
        "import sys, redis; from platestream import settings, streams;"
        "client = streams.connect(settings.load().redis);"
        "print(client.ping());"
        "exec(sys.argv[1])"
    )

    def refused(service: str, question: str) -> str:
        done = installation.compose("exec", "-T", service, "python3", "-c", ask, question,
                                    check=False)  # fmt: skip
        assert done.stdout.strip() == "True"  # it may come in
        assert done.returncode != 0
        return done.stderr.splitlines()[-1]

    assert "permission" in refused("capture", "client.xrange('readings:{gate-1}')")
    for service in sorted(SERVICES):
        assert "permission" in refused(service, "client.flushall()")
        assert "permission" in refused(service, "client.config_get('maxmemory')")
        there = installation.compose("exec", "-T", service, "ls", "/run/secrets").stdout.split()
        assert there == [f"redis_{service}"]
    nobody = installation.compose(
        "exec", "-T", "track", "python3", "-c", "import redis; redis.Redis('redis').ping()",
        check=False,
    )  # fmt: skip
    assert "authenticat" in nobody.stderr
    assert "noeviction" in installation.redis("--user", "admin", "CONFIG", "GET", "maxmemory*")


def test_status_is_shown(installation: Installation) -> None:
    assert "gate-1" in installation.compose("run", "--rm", "-T", "status", "--json").stdout


def test_down_leaves_nothing(installation: Installation) -> None:
    installation.compose("down", "-v")
    mine = f"label=com.docker.compose.project={PROJECT}"
    assert docker("ps", "-aq", "--filter", mine) == ""
    assert docker("volume", "ls", "-q", "--filter", mine) == ""
    assert docker("network", "ls", "-q", "--filter", mine) == ""


def test_over_tls(installation: Installation) -> None:
    certificates = ["deploy/redis/make-certificates.sh", "certificates", "redis"]
    subprocess.run(certificates, cwd=installation.folder, check=True, timeout=60)
    files = "docker-compose.yml:deploy/compose.tls.yml"
    installation.compose("up", "-d", "--wait", COMPOSE_FILE=files)
    before = len(list(installation.out.glob("*.readings.jsonl")))
    done = installation.compose(
        "exec", "-T", "capture", "python3", "-c",
        "from platestream import settings, streams; s = settings.load().redis;"
        "print(s.url, streams.connect(s).ping())",
    ).stdout  # fmt: skip
    assert done.strip() == "rediss://redis:6379/0 True"
    in_clear = installation.compose(
        "exec", "-T", "track", "python3", "-c", "import redis; redis.Redis('redis').ping()",
        check=False,
    )  # fmt: skip
    assert in_clear.returncode != 0
    installation.wait_for(
        "frames over TLS",
        lambda: (
            len(list(installation.out.glob("*.readings.jsonl"))) >= before
            and int(installation.redis("HGET", "counts:{gate-1}", "frames_written") or 0) > 20
        ),
    )
    installation.compose("down", "-v", COMPOSE_FILE=files)


def test_training_in_a_container(installation: Installation) -> None:
    installation.compose("build", "train", timeout=800)
    crops = installation.folder / "data" / "crops"
    crops.mkdir(parents=True)
    random = np.random.default_rng(0)
    for _ in range(40):
        crop = plate_crop(random, lines=1)
        cv2.imwrite(str(crops / f"{crop.text[:6]} {crop.text[6:]}.bmp"), crop.image)
    installation.compose(
        "run", "--rm", "-T", "train", "recognizer", "--data", "/data/crops",
        "--output", "/runs/recognizer.safetensors",
        "--epochs", "1", "--steps", "1", "--synthetic-epochs", "0", "--threads", "1",
    )  # fmt: skip
    weights = installation.folder / "runs" / "recognizer.safetensors"
    assert weights.stat().st_size > 1_000_000
    assert (weights.stat().st_uid, weights.stat().st_gid) == OWNER


class TestBadInput:
    """Each is said in a sentence, and the check of health says so, too."""

    @pytest.fixture(autouse=True)
    def _gone_afterwards(self, installation: Installation) -> Iterator[None]:
        yield
        installation.compose("--profile", "*", "down", "-v", check=False)

    def test_a_typo_among_the_cameras(self, installation: Installation) -> None:
        folder = installation.folder / "cameras"
        folder.mkdir()
        (folder / "cameras.toml").write_text('[cameras.gate-1]\nsorce = "/data/a.mp4"\n')
        installation.compose("up", "-d", "capture", CAMERAS="./cameras")
        installation.wait_for("sentence", lambda: "did you mean" in installation.logs("capture"))
        (container,) = installation.containers("capture")
        state = installation.inspected(container)["State"]
        assert isinstance(state, dict)
        assert state["Health"]["Status"] != "healthy"
        assert "Traceback" not in installation.logs("capture")

    def test_no_camera_that_answers(self, installation: Installation) -> None:
        installation.compose("up", "-d", "capture", SOURCE="rtsp://127.0.0.1:9/stream")
        installation.wait_for(
            "sentence", lambda: "rtsp://127.0.0.1:9/stream" in installation.logs("capture")
        )
        asked = installation.compose(
            "exec", "-T", "capture",
            "python3", "-m", "platestream.probe", "http://127.0.0.1:9100/readyz", check=False,
        )  # fmt: skip
        assert asked.returncode == 1
        assert "no frame has come" in asked.stderr

    def test_a_folder_of_cameras_that_is_not_there(self, installation: Installation) -> None:
        refused = installation.compose("up", "-d", "capture", check=False, CAMERAS="./nowhere")
        assert refused.returncode != 0
        assert "nowhere" in refused.stderr

    def test_no_gpu_for_the_gpu_profile(self, installation: Installation) -> None:
        if shutil.which("nvidia-smi"):
            pytest.skip("there is a GPU here")
        docker("tag", "platestream:ocr", "platestream:ocr-gpu")  # what is in it does not matter
        refused = installation.compose("--profile", "gpu", "up", "-d", "ocr-gpu", check=False)
        docker("image", "rm", "platestream:ocr-gpu")
        assert refused.returncode != 0
        assert "nvidia" in refused.stderr
