"""A camera of this machine through a real capture process and FFmpeg's V4L2; the camera is made up.

``tests/fake_camera.c`` answers in the kernel's place.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from platestream import streams
from platestream.embedded_redis import EmbeddedRedis
from tests.conftest import wait_until
from tests.services.capture.published import (
    CAMERA,
    FAST,
    check_order,
    counts,
    facts,
    frames,
    more,
)
from tests.sources import capture

DEVICE = "/dev/video77"


@pytest.fixture(scope="session")
def fake_camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library, compiled; CI must have a compiler."""
    compiler, library = shutil.which("cc"), tmp_path_factory.mktemp("camera") / "camera.so"
    source = Path(__file__).parents[2] / "fake_camera.c"
    if compiler is None or not Path("/usr/include/linux/videodev2.h").exists():
        if os.environ.get("CI"):
            pytest.fail("CI needs a C compiler and the kernel's headers")
        pytest.skip("no C compiler, or no headers of the kernel")
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True)
    return library


@pytest.fixture
def unplug(fake_camera: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A camera for what is started from now on; it is unplugged while the file is there."""
    flag = tmp_path / "unplugged"
    monkeypatch.setenv("LD_PRELOAD", str(fake_camera))
    monkeypatch.setenv("FAKE_CAMERA", DEVICE)
    monkeypatch.setenv("FAKE_CAMERA_UNPLUG", str(flag))
    return flag


def test_a_camera_that_is_unplugged_is_lost_and_found_again(
    unplug: Path, tmp_path: Path, server: EmbeddedRedis
) -> None:
    client = streams.connect(server.url)
    with capture(DEVICE, server.url, CAMERA, *FAST, cwd=tmp_path) as process:
        more(client)
        unplug.touch()
        wait_until(lambda: facts(client)["state"] == "lost", what="lost")
        unplug.unlink()
        wait_until(lambda: facts(client)["state"] == "live", what="live again")
        more(client)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    assert process.returncode == 0, log
    assert counts(client, "reconnects") == 1
    some = frames(client)
    check_order(some)
    assert {(f.width, f.height, f.rate) for f in some} == {(320, 180, "20/1")}
    assert f"{DEVICE} is lost: no such device" in log


@pytest.mark.parametrize("says_its_rate", [True, False])
def test_it_gives_what_it_is_asked_for_and_its_pictures_go_by_its_clock(
    unplug: Path,
    tmp_path: Path,
    server: EmbeddedRedis,
    monkeypatch: pytest.MonkeyPatch,
    says_its_rate: bool,
) -> None:
    if not says_its_rate:
        monkeypatch.setenv("FAKE_CAMERA_RATE", "0")
    client = streams.connect(server.url)
    wish = f"{DEVICE}?size=640x360&fps=30"
    with capture(wish, server.url, CAMERA, *FAST, cwd=tmp_path) as process:
        more(client, 40)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    assert not unplug.exists()
    assert "camera: 640x360" in log
    assert ("camera: 1/30 s a picture" in log) == says_its_rate  # else it takes no wish for one
    some = frames(client)
    check_order(some)
    assert {(f.width, f.height) for f in some} == {(640, 360)}
    pace = (some[-1].pts_s - some[0].pts_s) / (len(some) - 1)
    assert 0.045 < pace < 0.1  # 20 a second, if the machine has time
    assert counts(client, "skipped_by_capture") == 0


@pytest.mark.parametrize(
    ("number", "wish", "said"),
    [
        ("13", "", "may not be opened: permission denied; its group"),
        ("16", "", "is in use by another program"),
        (None, "?size=800x600", "does not offer 800x600"),
        (None, "?height=360", "no 'height'; a device has size, fps, format"),
    ],
)
def test_a_camera_that_does_not_open_says_why(
    unplug: Path,
    tmp_path: Path,
    server: EmbeddedRedis,
    monkeypatch: pytest.MonkeyPatch,
    number: str | None,
    wish: str,
    said: str,
) -> None:
    if number:
        monkeypatch.setenv("FAKE_CAMERA_ERROR", number)
    patience = "capture.patience_s=0.2"
    with capture(DEVICE + wish, server.url, CAMERA, *FAST, patience, cwd=tmp_path) as process:
        _, log = process.communicate(timeout=30)
    assert process.returncode == 2
    assert said in log
    assert "Traceback" not in log
