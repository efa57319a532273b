"""Which files of a folder are training data."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from platestream.errors import DataError
from platestream.picture_file import ENDINGS
from training.recognition.crops import list_pictures


def test_every_kind_of_picture_is_listed(tmp_path: Path) -> None:
    for ending in ENDINGS:
        assert cv2.imwrite(str(tmp_path / f"a{ending}"), np.full((20, 60, 3), 90, np.uint8))
    (tmp_path / "b.TIF").write_bytes((tmp_path / "a.tif").read_bytes())
    (tmp_path / "c.txt").write_text("no picture")
    (tmp_path / "d.png").mkdir()
    assert list_pictures(tmp_path) == sorted([*(f"a{ending}" for ending in ENDINGS), "b.TIF"])


def test_a_folder_without_pictures_says_what_would_be_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="TIFF or GIF"):
        list_pictures(tmp_path)
