"""Many cameras from a ``cameras.toml``, and OCR replicas that they share: ``pytest -m docker``."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from platestream.demo import built_in_clip
from platestream.video import VideoSource
from tests.deploy.compose.installation import Installation, docker
from tests.sources import RtspServer, rtsp_server

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1200)]

FRAMES = 300
TRUTH = {plate["text"] for plate in built_in_clip()[1]["plates"]}
CLIP = '[cameras.clip]\nsource = "/data/clip.mp4"\n'
STREET = '[cameras.street]\nsource = "{url}"\nwriter.crf = 28\n'


@pytest.fixture(scope="module")
def camera(installation: Installation) -> Iterator[RtspServer]:
    """A real RTSP server, at an address of this host that containers reach."""
    gateway = docker("network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}")
    with rtsp_server(gateway) as server:
        server.start(built_in_clip()[0])
        yield server


@pytest.fixture(scope="module")
def fleet(installation: Installation, camera: RtspServer) -> Installation:
    """A file and a camera, two OCR replicas."""
    for name in ("cameras", "data"):
        (installation.folder / name).mkdir(exist_ok=True)
    shutil.copy(built_in_clip()[0], installation.folder / "data" / "clip.mp4")
    write_cameras(installation, CLIP + STREET.format(url=camera.url))
    made = installation.with_(CAMERAS="./cameras")
    made.up("--scale", "ocr=2")
    return made


def write_cameras(installation: Installation, text: str) -> None:
    (installation.folder / "cameras" / "cameras.toml").write_text(text)


def test_a_file_is_written_whole_beside_a_camera(fleet: Installation) -> None:
    fleet.wait_for_recordings(1, "clip")
    (lines,) = fleet.lines("clip")
    assert [line["frame_id"] for line in lines] == list(range(1, FRAMES + 1))
    (video,) = fleet.out.glob("clip-*.mp4")
    with VideoSource(str(video)) as source:
        assert sum(1 for _ in source.frames()) == FRAMES
    fleet.wait_for("end of the passages", lambda: fleet.texts("end", "passages:{clip}"))
    assert fleet.accepted("clip") == TRUTH


def test_replicas_read_both(fleet: Installation) -> None:
    def readers(camera: str) -> set[str]:
        return set(fleet.texts("replica", f"readings:{{{camera}}}"))

    fleet.wait_for(
        "readings of both cameras by both replicas",
        lambda: len(readers("clip")) == 2 and readers("clip") == readers("street"),
    )


def test_an_edit_is_taken_up_while_they_run_and_a_broken_one_is_not(
    fleet: Installation, camera: RtspServer, make_video: Callable[..., Path]
) -> None:
    write_cameras(fleet, CLIP + '[cameras.street]\nsorce = "rtsp://x"\n')
    fleet.wait_for("sentence", lambda: "did you mean" in fleet.logs("capture"))
    make_video(fleet.folder / "data" / "short.mp4", frames=40)
    short = '[cameras.short]\nsource = "/data/short.mp4"\n'
    write_cameras(fleet, CLIP + STREET.format(url=camera.url) + short)
    fleet.wait_for_recordings(1, "short")
    assert [line["frame_id"] for line in fleet.lines("short")[0]] == list(range(1, 41))
    for service in ("capture", "writer"):
        assert fleet.restarts(service) == 0


def test_the_camera_is_read_and_its_video_is_playable(fleet: Installation) -> None:
    fleet.wait_for("plates of the camera", lambda: len(fleet.accepted("street") & TRUTH) >= 2)
    write_cameras(fleet, CLIP)  # ends the recording
    fleet.wait_for(
        "end of the recording",
        lambda: fleet.redis("HGET", "recording:{street}", "state") == "finished",
    )
    lines = [line for part in fleet.lines("street") for line in part]
    ids = [line["frame_id"] for line in lines]
    assert ids == sorted(set(ids))
    assert len(ids) > 60
    frames = 0
    for video in fleet.out.glob("street-*.mp4"):
        with VideoSource(str(video)) as source:
            frames += sum(1 for _ in source.frames())
    assert frames == len(ids)


def test_a_single_camera_is_given_by_its_address(
    installation: Installation, camera: RtspServer
) -> None:
    installation.down()
    there = installation.with_(SOURCE=camera.url)
    there.up()
    there.wait_for("plates of the camera", lambda: len(there.accepted() & TRUTH) >= 2)
    assert there.redis("HGET", "camera:{gate-1}", "mode") == "live"
    # the server's clip ends and begins again, and between them the camera is lost
    there.wait_for("it is live", lambda: there.redis("HGET", "camera:{gate-1}", "state") == "live")
    assert list(there.out.glob("gate-1-*.mp4"))
    # stopped in the middle of a file, as `docker compose stop` and an upgrade do
    (writer,) = there.containers("writer")
    there.compose("stop", "writer")
    state = there.inspected(writer)["State"]
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)  # within its grace, by itself
    assert there.redis("HGET", "recording:{gate-1}", "state") != "finished"
    written = int(there.redis("HGET", "counts:{gate-1}", "frames_written"))
    frames = 0
    for video in there.out.glob("gate-1-*.mp4"):
        with VideoSource(str(video)) as source:
            frames += sum(1 for _ in source.frames())
    assert frames == written > 0
    assert sum(map(len, there.lines("gate-1"))) == written
