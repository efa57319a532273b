"""The folder of a run: its own, gone with it, also when it was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from platestream.errors import SharedMemoryError
from platestream.picture import Form
from platestream.pixels import RunFolder
from platestream.pixels import run_folder as module
from platestream.pixels.ring import Ring, new_name, slot_bytes_for
from platestream.settings import StreamSettings
from tests.conftest import wait_until


def settings(folder: Path, **more: object) -> StreamSettings:
    return StreamSettings(shm_dir=folder, **more)  # type: ignore[arg-type]


def test_it_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    one, two = RunFolder(settings(tmp_path)), RunFolder(settings(tmp_path))
    assert one.path != two.path
    (one.path / "x.ring").write_text("")
    one.remove()
    assert list(tmp_path.iterdir()) == [two.path]
    two.remove()


_HOLD = """
import sys, time
from pathlib import Path
from platestream.pixels import RunFolder
from platestream.pixels.ring import Ring, new_name
from platestream.settings import StreamSettings
folder = RunFolder(StreamSettings(shm_dir=Path(sys.argv[1])))
ring = Ring.create(folder.path, new_name("a", "frames", "0" * 16), 2, 4096, bytes(16))
print("ready", flush=True)
time.sleep(60)
"""


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    held = subprocess.Popen([sys.executable, "-c", _HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert held.stdout is not None
        assert held.stdout.readline() == b"ready\n"
        (left,) = tmp_path.iterdir()
        assert module.remove_left_folders(tmp_path) == []
        held.send_signal(signal.SIGKILL)
        held.wait(20)
        wait_until(lambda: not (Path("/proc") / str(held.pid)).exists(), 20)
        mine = RunFolder(settings(tmp_path))
        assert not left.exists()
        mine.remove()
    finally:
        held.kill()
        held.communicate()


def test_a_folder_in_which_a_service_still_writes_stays(tmp_path: Path) -> None:
    folder = tmp_path / "run-1-0"
    folder.mkdir()
    ring = Ring.create(
        folder, new_name("a", "frames", "0" * 16), 2, slot_bytes_for(Form(8, 8)), bytes(16)
    )
    assert module.remove_left_folders(tmp_path) == []
    ring.release()
    assert module.remove_left_folders(tmp_path) == ["run-1-0"]


@pytest.mark.parametrize("how", ["jpeg", "raw"])
def test_who_wants_something_else_gets_none(tmp_path: Path, how: str) -> None:
    assert RunFolder.wanted(settings(tmp_path, pixels=how)) == (None, "")
    assert list(tmp_path.iterdir()) == []


def test_without_room_auto_takes_another_way_and_says_why(tmp_path: Path) -> None:
    folder, why = RunFolder.wanted(settings(tmp_path, camera_mib=2**44, budget_mib=2**40))
    assert folder is None
    assert str(2 * 2**60) in why
    assert list(tmp_path.iterdir()) == []


def test_without_a_place_auto_takes_another_way_and_shm_refuses(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("")
    folder, why = RunFolder.wanted(settings(place))
    assert folder is None
    assert "file" in why
    with pytest.raises(SharedMemoryError):
        RunFolder.wanted(settings(place, pixels="shm"))
