"""Outputs: what may be written where."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from platestream.errors import OutputError
from platestream.outputs import check_output, readings_path


def test_a_free_place_is_fine(tmp_path: Path) -> None:
    check_output(tmp_path / "a.mp4", force=False)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"nowhere.*does not exist"):
        check_output(tmp_path / "nowhere" / "a.mp4", force=False)


def test_what_is_there_is_kept_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_text("precious")
    with pytest.raises(OutputError, match="--force"):
        check_output(path, force=False)
    check_output(path, force=True)
    assert path.read_text() == "precious"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        check_output(tmp_path, force=True)


def test_a_locked_folder_is_named(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if os.access(locked, os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(OutputError, match="may not be written"):
        check_output(locked / "a.mp4", force=False)


def test_readings_lie_beside_the_video() -> None:
    assert readings_path(Path("x/gate.mp4")) == Path("x/gate.readings.jsonl")
