"""Which files of a folder are training data."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from platestream.errors import DataError
from platestream.picture_file import ENDINGS
from training import labels
from training.commands.arguments import column
from training.recognition.crops import gather, list_pictures

CHECKED = Path(__file__).parents[3] / "training" / "data"


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


@pytest.mark.shared
def test_the_watched_crops_are_of_plates_that_training_only_watches(shared: Path) -> None:
    crops = gather(
        shared / "data" / "CropNumbers",
        labels.read_csv(shared / "data" / "second_reading.csv"),
        column(CHECKED / "crops_validation.csv"),
        column(CHECKED / "negative_validation.csv"),
        corrections=labels.read_csv(CHECKED / "crops_corrections.csv"),
    )
    watched = labels.read_csv(CHECKED / "crops_watched.csv")
    trained = {crop.text for crop in crops.train}
    assert watched == {
        crop.path.name: crop.text for crop in crops.valid if crop.text and crop.text not in trained
    }
