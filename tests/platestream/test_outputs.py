"""Outputs: what may be written where."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from platestream.errors import OutputError, SettingsError
from platestream.outputs import (
    OutputNames,
    check_apart,
    check_output,
    check_video_name,
    make_default_folder,
    readings_path,
)


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


def test_a_default_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    make_default_folder(tmp_path / "out")
    make_default_folder(tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file, and no folder; name a video with --output"):
        make_default_folder(tmp_path / "file")
    with pytest.raises(OutputError, match=r"cannot make folder .*: .*; name a video with --output"):
        make_default_folder(tmp_path / "nowhere" / "out")


def test_readings_lie_beside_the_video() -> None:
    assert readings_path(Path("x/gate.mp4")) == Path("x/gate.readings.jsonl")


STARTED = "20261124T120000Z"
LATER = "20261124T121000Z"


@pytest.mark.parametrize(
    ("video", "readings", "numbered", "named", "lines"),
    [
        ("o.mp4", "", False, "o.mp4", "o.readings.jsonl"),
        ("o.mp4", "", True, "o-00012.mp4", "o-00012.readings.jsonl"),
        ("o.mp4", "r.jsonl", True, "o-00012.mp4", "r-00012.jsonl"),
        ("{camera}-{started}.mp4", "", True, f"gate-1-{STARTED}-00012.mp4", None),
        ("{segment}/{camera}.mp4", "{segment}.l", False, "00012/gate-1.mp4", "00012.l"),
        ("{camera}_{segment_started}.mp4", "", False, f"gate-1_{LATER}.mp4", None),
    ],
)
def test_names_are_filled_in(
    video: str, readings: str, numbered: bool, named: str, lines: str | None
) -> None:
    files = OutputNames(video, readings, "gate-1").files(STARTED, 12, LATER, numbered=numbered)
    assert str(files.video) == named
    if lines is not None:
        assert str(files.lines) == lines
    assert (files.started, files.segment) == (STARTED, 12)


@pytest.mark.parametrize("video", ["{camera}-{started}.mp4", "{camera}_{segment}_{started}.mp4"])
def test_names_sort_and_are_found_again(tmp_path: Path, video: str) -> None:
    names = OutputNames(str(tmp_path / video), "", "gate-1")
    made = [names.files(STARTED, number, LATER, numbered=True) for number in (9, 10, 100)]
    for name in (
        f"gate-10-{STARTED}-00009.mp4",
        f"gate-1-{STARTED}-00009.mp4.part",
        f"gate-1-{STARTED}-9.mp4",
        f"gate-1-{STARTED}x-00009.mp4",
        f"xgate-1-{STARTED}-00009.mp4",
        f"gate-1_00009_{STARTED}_.mp4",
        "gate-1.mp4",
    ):
        (tmp_path / name).touch()
    for files in reversed(made):
        files.video.touch()
    assert names.found() == made


def test_a_first_segment_without_a_number_is_found_too(tmp_path: Path) -> None:
    names = OutputNames(str(tmp_path / "{camera}-{started}.mp4"), "", "gate-1")
    one = names.files(STARTED, 1, STARTED, numbered=False)
    one.video.touch()
    assert names.found() == [one]
    assert OutputNames(str(tmp_path / "no" / "{camera}.mp4"), "", "gate-1").found() == []


@pytest.mark.parametrize(
    ("video", "safe"),
    [
        ("/v/{camera}-{started}.mp4", True),
        ("/v/{camera}/{started}.mp4", True),
        ("/v/{camera}.{segment_started}-{segment}.mp4", True),
        ("/v/{started}.mp4", False),
        ("/v/{started}-{camera}.mp4", False),
        ("/v/{camera}{started}.mp4", False),
        ("/v/x{camera}-{started}.mp4", False),
        ("/v/{camera}.mp4", False),
        ("/v/{started}/{camera}-{started}.mp4", False),
    ],
)
def test_only_names_that_are_one_cameras_may_be_deleted(video: str, safe: bool) -> None:
    names = OutputNames(video, "", "gate-1")
    if safe:
        names.check_removable()
    else:
        with pytest.raises(SettingsError, match="cannot be deleted safely"):
            names.check_removable()


def test_only_ordinary_files_are_written() -> None:
    with pytest.raises(OutputError, match="no ordinary file"):
        check_output(Path(os.devnull), force=True)


@pytest.mark.parametrize("name", ["a.mp4", "out/{camera}-{started}.MP4", "a.m4v"])
def test_a_video_may_be_called_so(name: str) -> None:
    check_video_name(name)


@pytest.mark.parametrize("name", ["a.avi", "a", "a.mp4.mkv", "a.webm"])
def test_an_mp4_is_not_called_otherwise(name: str) -> None:
    with pytest.raises(OutputError, match=rf"{name}.*call it"):
        check_video_name(name)


def test_no_output_goes_over_the_source_or_the_other_output(tmp_path: Path) -> None:
    source, video, lines = (tmp_path / name for name in ("in.mp4", "out.mp4", "out.jsonl"))
    source.write_text("precious")
    link = tmp_path / "link.mp4"
    link.symlink_to(source)
    check_apart(str(source), video, lines)
    check_apart("rtsp://camera/1", video, lines)
    for wrong in ((source, lines), (link, lines), (video, source), (video, video)):
        with pytest.raises(OutputError, match="must go into another file"):
            check_apart(str(source), *wrong)
