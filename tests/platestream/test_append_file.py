"""A growing file: whole pieces or nothing, whatever the disk does."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from platestream.append_file import AppendFile, DiskError, LostFileError


def test_what_is_kept_stays_and_the_rest_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abcdef")
    file = AppendFile(path, 3)
    file.append(b"xy")
    assert (path.read_bytes(), file.size) == (b"abcxy", 5)
    AppendFile(path).append(b"new")
    assert path.read_bytes() == b"new"


def test_half_a_piece_never_stays(tmp_path: Path) -> None:
    """The kernel takes the first part of a piece and refuses the rest."""
    path = tmp_path / "a"
    file = AppendFile(path)
    file.append(b"1" * 1000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, before[1]))
    try:
        for _ in range(2):
            with pytest.raises(DiskError, match=r"cannot write '.*a': File too large"):
                file.append(b"2" * 1000)
            assert path.read_bytes() == b"1" * 1000
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    file.append(b"2" * 1000)
    assert path.read_bytes() == b"1" * 1000 + b"2" * 1000


def test_a_folder_that_comes_is_found(tmp_path: Path) -> None:
    file = AppendFile(tmp_path / "later" / "a")
    with pytest.raises(DiskError, match="No such file"):
        file.append(b"x")
    (tmp_path / "later").mkdir()
    file.append(b"x")
    assert (tmp_path / "later" / "a").read_bytes() == b"x"


def test_a_file_that_is_gone_or_shortened_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a"
    file = AppendFile(path)
    file.append(b"abc")
    path.unlink()
    with pytest.raises(LostFileError, match="deleted"):
        file.append(b"d")
    with pytest.raises(LostFileError, match="is gone"):
        file.append(b"d")
    path.write_bytes(b"ab")
    with pytest.raises(LostFileError, match="has 2 bytes; 3 had been written"):
        AppendFile(path, 3).append(b"d")
