"""docker-compose.yml on a real engine: ``pytest -m docker``.

The tests go through one installation in order: it comes up, reads the clip, is scaled, hurt, and
taken away.
"""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

from platestream.demo import built_in_clip
from platestream.video import VideoSource
from platestream.vision.crop_reader import CropReader
from tests.deploy.compose.installation import OWNER, Installation, docker
from training.synthesis.crop import plate_crop

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1200)]

SERVICES = {"capture", "ocr", "track", "visualize", "writer"}
MOST_MB = {"base": 400, "ocr": 700}
FRAMES = 300


@pytest.fixture(scope="module", autouse=True)
def _running(installation: Installation) -> None:
    installation.up()


@pytest.mark.parametrize("image", MOST_MB)
def test_images_are_small(installation: Installation, image: str) -> None:
    size = int(docker("image", "inspect", "-f", "{{.Size}}", f"platestream:{image}"))
    print(f"platestream:{image} {size / 1e6:.0f} MB")
    assert size <= MOST_MB[image] * 1e6


def test_base_has_neither_networks_nor_training(installation: Installation) -> None:
    said = installation.compose(
        "exec", "-T", "capture", "python3", "-c",
        "from importlib.util import find_spec as find; import pathlib, platestream;"
        "others = ('torch', 'openvino', 'onnxruntime', 'scipy', 'pip', 'training');"
        "print([m for m in others if find(m)],"
        "sorted(pathlib.Path(platestream.__file__).parent.rglob('*.onnx')))",
    ).stdout  # fmt: skip
    assert said.strip() == "[] []"


@pytest.mark.parametrize("service", sorted(SERVICES | {"redis"}))
def test_a_container_may_do_nothing_it_need_not(installation: Installation, service: str) -> None:
    (container,) = installation.containers(service)
    host = installation.inspected(container)["HostConfig"]
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
    (lines,) = installation.lines("gate-1")
    assert [line["frame_id"] for line in lines] == list(range(1, FRAMES + 1))
    (video,) = installation.out.glob("*.mp4")
    with VideoSource(str(video)) as source:
        assert sum(1 for _ in source.frames()) == FRAMES
    truth = {plate["text"] for plate in built_in_clip()[1]["plates"]}
    plates = [plate for line in lines for plate in line["plates"]]
    accepted = [plate["text"] for plate in plates if plate["accepted"]]
    assert truth <= set(accepted)
    assert sum(text in truth for text in accepted) > 0.9 * len(accepted)

    installation.wait_for(
        "end of the passages", lambda: installation.texts("end", "passages:{gate-1}")
    )
    assert installation.accepted() == truth
    assert installation.restarts("capture") == 0


def test_what_is_compiled_is_left_for_the_next_replica(installation: Installation) -> None:
    files = installation.compose("exec", "-T", "ocr", "ls", "/cache/platestream/compiled").stdout
    assert sum(name.endswith(".model") for name in files.split()) >= 10


def test_files_are_the_callers(installation: Installation) -> None:
    for path in (installation.out, *installation.out.iterdir()):
        assert (path.stat().st_uid, path.stat().st_gid) == OWNER


def test_a_picture_is_read_in_a_container(installation: Installation) -> None:
    with VideoSource(str(built_in_clip()[0])) as source:
        picture = next(source.frames(skip=100)).image
    cv2.imwrite(str(installation.folder / "data" / "frame.png"), picture)
    said = installation.compose(
        "run", "--rm", "--no-deps", "-T", "ocr", "read", "--json", "/data/frame.png"
    ).stdout
    truth = {plate["text"] for plate in built_in_clip()[1]["plates"]}
    plates = json.loads(said.splitlines()[-1])["plates"]
    assert {plate["text"] for plate in plates if plate["accepted"]} & truth


def test_a_crop_is_read_in_a_container(installation: Installation) -> None:
    """By the command that the page has; it reads there what it reads here."""
    crop = plate_crop(np.random.default_rng(0), lines=1).image
    picture = installation.folder / "data" / "some.jpg"
    cv2.imwrite(str(picture), crop)
    (here,) = CropReader.load().predict([cv2.imread(str(picture))])
    said = installation.run("ocr", "recognize", "/data/some.jpg")
    assert said.startswith(f"/data/some.jpg: {here.text}  ")


def test_replicas_come_die_and_go_redis_restarts_and_nothing_is_lost(
    installation: Installation,
) -> None:
    before = int(installation.redis("HGET", "counts:{gate-1}", "frames_written"))
    installation.up("--no-recreate", "--scale", "ocr=3")
    replicas = installation.containers("ocr")
    assert len(replicas) == 3
    installation.compose("restart", "capture")  # plays the clip once more

    def written() -> int:
        return int(installation.redis("HGET", "counts:{gate-1}", "frames_written")) - before

    installation.wait_for("frame", lambda: written() > 20)
    service = service_process(installation.inspected(replicas[0])["State"]["Pid"])
    os.kill(service, signal.SIGKILL)
    installation.wait_for(
        "restart of the replica that was killed",
        lambda: installation.inspected(replicas[0])["RestartCount"] == 1,
    )
    installation.compose("restart", "redis")
    installation.compose("up", "-d", "--no-recreate", "--scale", "ocr=1")
    assert len(installation.containers("ocr")) == 1
    installation.wait_for_recordings(2)
    lines = installation.lines("gate-1")[-1]
    assert [x["frame_id"] for x in lines] == list(range(FRAMES + 1, 2 * FRAMES + 1))
    assert written() == FRAMES
    assert int(installation.redis("XLEN", "dead:{gate-1}")) == 0
    # at least once: what was under way when Redis restarted may be read twice, and counts once
    every = set(range(1, 2 * FRAMES + 1))
    installation.wait_for("reading of every frame", lambda: installation.read() == every)
    groups = installation.redis("--raw", "XINFO", "GROUPS", "frames:{gate-1}")
    assert re.findall(r"^pending\n(\d+)$", groups, re.M) == ["0", "0"]


def service_process(pid: int) -> int:
    """The service below a container's first process (tini), as the host numbers it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0])


def test_each_service_has_its_own_rights_in_redis(installation: Installation) -> None:
    ask = (
        "import os, sys, json, redis; from platestream import settings, streams\n"
        "client = streams.connect(settings.load().redis)\n"
        "said = [client.ping(), os.listdir('/run/secrets')]\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    try: client.execute_command(*words); said.append('done')\n"
        "    except redis.exceptions.NoPermissionError: said.append('no permission')\n"
        "print(json.dumps(said))"
    )
    words = [["FLUSHALL"], ["CONFIG", "GET", "maxmemory"], ["XLEN", "frames:{gate-1}"]]
    words += [["XREVRANGE", "readings:{gate-1}", "+", "-", "COUNT", "1"]]
    of_frames, of_readings = {"capture", "ocr", "visualize"}, {"visualize"}
    for service in sorted(SERVICES):
        there = ("exec", "-T", service, "python3", "-c")
        said = json.loads(installation.compose(*there, ask, json.dumps(words)).stdout)
        assert said[:2] == [True, [f"redis_{service}"]]
        assert said[2:] == ["no permission", "no permission", *(
            "done" if service in may else "no permission" for may in (of_frames, of_readings)
        )]  # fmt: skip
    nobody = installation.compose(
        "exec", "-T", "track", "python3", "-c", "import redis; redis.Redis('redis').ping()",
        check=False,
    )  # fmt: skip
    assert "authenticat" in nobody.stderr
    assert "noeviction" in installation.redis("--user", "admin", "CONFIG", "GET", "maxmemory*")


def test_status_is_shown(installation: Installation) -> None:
    assert "gate-1" in installation.run("status", "--json")


def test_dead_frames_are_listed_tried_again_and_dropped(installation: Installation) -> None:
    number = str(2 * FRAMES + 1)
    entry = (f"{number}-0", "frame_id", number, "body", "no picture")
    installation.redis("--user", "admin", "XADD", "frames:{gate-1}", *entry)

    def is_dead() -> bool:
        return installation.redis("XLEN", "dead:{gate-1}") == "1"

    installation.wait_for("dead frame", is_dead)
    (dead,) = installation.run("platestream", "dead", "list", "--json").splitlines()
    assert json.loads(dead)["frame_id"] == int(number)
    retried = installation.run("platestream", "dead", "retry", json.loads(dead)["id"])
    assert "1 given to OCR again" in retried
    installation.wait_for("frame that is dead again", is_dead)
    assert "1 dropped" in installation.run("platestream", "dead", "drop", "--all")
    assert "gate-1" in installation.run("platestream", "cameras", "list")
    assert installation.redis("XLEN", "dead:{gate-1}") == "0"


def test_down_leaves_nothing(installation: Installation) -> None:
    installation.compose("down", "-v")
    mine = f"label=com.docker.compose.project={installation.project}"
    assert docker("ps", "-aq", "--filter", mine) == ""
    assert docker("volume", "ls", "-q", "--filter", mine) == ""
    assert docker("network", "ls", "-q", "--filter", mine) == ""


def test_training_in_a_container(installation: Installation) -> None:
    installation.compose("build", "train", timeout=800)
    crops = installation.folder / "data" / "crops"
    crops.mkdir()
    random = np.random.default_rng(0)
    for _ in range(40):
        crop = plate_crop(random, lines=1)
        cv2.imwrite(str(crops / f"{crop.text[:6]} {crop.text[6:]}.bmp"), crop.image)
    installation.run(
        "train", "recognizer", "--data", "/data/crops",
        "--output", "/runs/recognizer.safetensors",
        "--epochs", "1", "--steps", "1", "--synthetic-epochs", "0", "--threads", "1",
    )  # fmt: skip
    weights = installation.folder / "runs" / "recognizer.safetensors"
    assert weights.stat().st_size > 1_000_000
    assert (weights.stat().st_uid, weights.stat().st_gid) == OWNER


def test_weights_of_ones_own_are_exported_and_read_with(installation: Installation) -> None:
    installation.compose(
        "run", "--rm", "-T", "--entrypoint", "python3 -m platestream", "train",
        "export", "recognizer",
        "--weights", "/runs/recognizer.safetensors", "--output", "/runs/recognizer.onnx",
    )  # fmt: skip
    own = "/runs/recognizer.onnx"
    said = installation.run("ocr", "recognize", "/data/some.jpg", "--weights", own)
    assert said.startswith("/data/some.jpg: ")
    (installation.folder / "platestream.env").write_text(
        f"PLATESTREAM_OCR__RECOGNIZER_WEIGHTS={own}\n"
    )
    try:
        installation.up("ocr", "track")
        ask = "from platestream import settings; print(settings.load().ocr.recognizer_weights)"
        for service in ("ocr", "track"):
            told = installation.compose("exec", "-T", service, "python3", "-c", ask).stdout
            assert told.strip() == own
        (installation.folder / "runs" / "recognizer.onnx").unlink()
        for service in ("ocr", "track"):
            ended = installation.compose("run", "--rm", "-T", service, check=False)
            assert ended.returncode == 2
            assert own in ended.stderr
    finally:
        (installation.folder / "platestream.env").unlink()
