"""Photographs, and what is known of them beside their published boxes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from platestream.errors import DataError
from training.detection.photos import (
    Correction,
    Photo,
    correct,
    read_corners,
    read_corrections,
    read_photo,
    read_truth,
    shrink,
    with_corners,
)


def photo() -> Photo:
    boxes = np.array([[100, 100, 200, 120], [300, 40, 330, 48]], np.float32)
    return Photo(Path("a.jpg"), np.zeros((400, 600, 3), np.uint8), boxes)


def test_corrections_add_remove_ignore_and_name_what_is_no_plate(tmp_path: Path) -> None:
    file = tmp_path / "corrections.csv"
    file.write_text(
        "file,x1,y1,x2,y2,action\n"
        "a.jpg,302,40,331,48,remove\n"
        "a.jpg,10,10,40,18,add\n"
        "a.jpg,50,10,60,12,ignore\n"
        "a.jpg,400,300,500,330,negative\n"
    )
    put_right = correct(photo(), read_corrections(file)["a.jpg"])
    assert put_right.boxes.tolist() == [[100, 100, 200, 120], [10, 10, 40, 18]]
    assert put_right.ignore.tolist() == [[50, 10, 60, 12]]
    assert put_right.negatives.tolist() == [[400, 300, 500, 330]]


def test_removing_what_is_not_there_changes_nothing() -> None:
    put_right = correct(photo(), [Correction((150, 100, 260, 120), "remove")])
    assert put_right.boxes.tolist() == photo().boxes.tolist()


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("a.jpg,1,2,3,4,drop", "drop"),
        ("a.jpg,1,2,x,4,add", "line 2"),
        ("a.jpg,1,2,nan,4,add", "line 2: 1, 2, nan, 4 are not all numbers"),
        ("a.jpg,3,2,1,4,add", "line 2: 3, 2, 1, 4 is no box"),
        ("a.jpg,1,2,3", "line 2 ends too early: it has no 'y2'"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: str, says: str) -> None:
    file = tmp_path / "corrections.csv"
    file.write_text(f"file,x1,y1,x2,y2,action\n{row}\n")
    with pytest.raises(DataError, match=says):
        read_corrections(file)
    with pytest.raises(DataError, match="corners"):
        read_corners(tmp_path / "corners.csv")


def test_truth_knows_plates_that_do_not_count_and_files_without_any(tmp_path: Path) -> None:
    file = tmp_path / "truth.csv"
    file.write_text("file,x1,y1,x2,y2,ignore\na.jpg,1,2,30,9,\na.jpg,50,2,60,4,1\nb.jpg,,,,,\n")
    truth = read_truth(file)
    assert truth["a.jpg"].boxes.tolist() == [[1, 2, 30, 9]]
    assert truth["a.jpg"].ignore.tolist() == [[50, 2, 60, 4]]
    assert len(truth["b.jpg"].boxes) == len(truth["b.jpg"].ignore) == 0


def test_corners_go_to_the_box_that_is_theirs_and_shrink_with_it() -> None:
    corners = np.array([[[100, 104], [198, 100], [200, 116], [102, 120]]], np.float32)
    fitted = with_corners(photo(), corners)
    assert fitted.corners is not None
    assert np.isnan(fitted.corners[1]).all()
    small = shrink(fitted, 300)
    assert small.corners is not None
    assert max(small.image.shape[:2]) == 300
    assert np.allclose(small.corners[0], corners[0] / 2)
    assert np.allclose(small.boxes, photo().boxes / 2)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"0 0.5 0.5 0.1 0.1\n0 0.5 0.5 wide 0.1\n", "line 2: needs a class, then x, y, width"),
        (b"0 0.5 0.5 0.1\n", "line 1: needs a class"),
        (b"0 0.5 nan 0.1 0.1\n", "line 1: needs a class"),
        (b"\xff\xfe0", "cannot read"),
    ],
)
def test_published_boxes_that_are_none_are_named(tmp_path: Path, content: bytes, says: str) -> None:
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.zeros((40, 60, 3), np.uint8))
    label = tmp_path / "labels" / "a.txt"
    label.write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_photo(tmp_path, "a.png")
    label.write_text("0 0.5 0.5 0.5 0.25\n\n")
    read = read_photo(tmp_path, "a.png")
    assert read is not None
    assert read.boxes.tolist() == [[15, 15, 45, 25]]
