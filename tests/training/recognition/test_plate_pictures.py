"""Labelled pictures in memory, and the views of them that are trained on."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from platestream.errors import DataError
from training.recognition.crops import Crop, gather_photos, photo_crops
from training.recognition.plate_pictures import (
    LINE_SIZE,
    STACK_SIZE,
    PlatePicture,
    as_line,
    load,
    view,
)


def _bright_plate() -> PlatePicture:
    """A bright quadrilateral on black, its corners known."""
    image = np.zeros((90, 300), np.uint8)
    corners = np.array([[40, 20], [250, 35], [255, 75], [45, 60]], np.float32)
    cv2.fillConvexPoly(image, corners.astype(np.int32), 255)
    return PlatePicture(image, "A001AA77", (0.0, 0.0, 300.0, 90.0), corners)


def test_a_warped_view_is_filled_by_the_plate() -> None:
    picture = _bright_plate()
    shares = [float((view(picture, np.random.default_rng(s)) > 128).mean()) for s in range(60)]
    flat = PlatePicture(picture.image, picture.text, picture.box)
    crops = [float((view(flat, np.random.default_rng(s)) > 128).mean()) for s in range(60)]
    assert max(crops) < 0.55  # the plate is a third of the whole picture
    assert sum(share > 0.6 for share in shares) >= 20  # about every second view is warped flat


def test_views_have_the_size_of_their_lines() -> None:
    one = _bright_plate()
    two = PlatePicture(one.image, one.text, one.box, one.corners, lines=2)
    rng = np.random.default_rng(0)
    assert view(one, rng).shape == LINE_SIZE[::-1]
    stacked = view(two, rng)
    assert stacked.shape == STACK_SIZE[::-1]
    assert as_line(stacked, 2).shape[1] == 2 * STACK_SIZE[0]


def test_a_photographs_plate_keeps_what_lies_round_it(tmp_path: Path) -> None:
    image = np.zeros((200, 400, 3), np.uint8)
    image[80:100, 150:250] = 255
    cv2.imwrite(str(tmp_path / "a.png"), image)
    (picture,) = load([Crop(tmp_path / "a.png", "A001AA77", (150, 80, 250, 100))])
    x1, y1, x2, y2 = (round(v) for v in picture.box)
    assert picture.image.shape[1] > 150
    assert (picture.image[y1:y2, x1:x2] == 255).all()
    assert picture.image[:y1].max() == 0


def test_crops_that_cannot_be_read_are_named_and_left_out(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.tiff"), np.full((20, 60), 0.5, np.float32))
    whole = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (64, 256, 3)))[1]
    (tmp_path / "b.jpg").write_bytes(whole.tobytes()[:-20])
    (tmp_path / "c.jpg").write_text("no picture")
    crops = [Crop(tmp_path / name, "A001AA77") for name in ("a.tiff", "b.jpg", "c.jpg")]
    said: list[str] = []
    assert len(load(crops, None, said.append)) == 2  # as many as `recognize` reads
    assert len(said) == 1
    assert "c.jpg' is not a picture" in said[0]
    with pytest.raises(DataError, match=r"c\.jpg' is not a picture"):
        load(crops[2:])


HEAD = "file,x1,y1,x2,y2,text,readable,lines\n"


def test_readable_plates_of_photographs_are_listed(tmp_path: Path) -> None:
    rows = HEAD + "a.jpg,1,2,3,4,a001aa 77,1,1\nb.jpg,1,2,3,4,,0,1\nc.jpg,-1,0,9,9,A001AA77,1,2\n"
    (tmp_path / "good.csv").write_text(rows, encoding="utf-8-sig")
    crops = photo_crops(tmp_path, tmp_path / "good.csv")
    assert [(c.path.name, c.text, c.lines) for c in crops] == [
        ("a.jpg", "A001AA77", 1),
        ("c.jpg", "A001AA77", 2),
    ]


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ("b.jpg,1,x,3,4,A001AA77,1,1", "could not convert"),
        ("b.jpg,1,2,nan,4,A001AA77,1,1", "no box"),
        ("b.jpg,1,2,inf,4,A001AA77,1,1", "no box"),
        ("b.jpg,3,2,1,4,A001AA77,1,1", "no box"),
        ("b.jpg,1,2,3,4,A001AA77,1", "ends too early: it has no 'lines'"),
        ("b.jpg,1", "ends too early: it has no 'y1'"),
        ("b.jpg,1,2,3,4,A001AA77,1,7", "'lines' is 1 or 2, not '7'"),
        ("b.jpg,1,2,3,4,A001AA77,yes,1", "'readable' is 1 or 0, not 'yes'"),
        ("b.jpg,1,2,3,4,,1,1", "readable, but has no text"),
        ("b.jpg,1,2,3,4,A001ЖA77,1,1", "'A001ЖA77' has 'Ж'"),
        ('b.jpg,1,2,3,4,"A001AA77,1,1', "a quote too many"),
    ],
)
def test_a_bad_row_of_a_list_of_photographs_is_named(tmp_path: Path, row: str, named: str) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text(f"{HEAD}a.jpg,1,2,3,4,A001AA77,1,1\n{row}\n", encoding="utf-8")
    with pytest.raises(DataError, match=f"line 3.*{re.escape(named)}"):
        photo_crops(tmp_path, bad, "0123456789A")


@pytest.mark.parametrize(
    ("content", "named"),
    [(b"file,x1\na.jpg,1\n", "needs columns"), (HEAD.encode() + b"\xff", "UTF-8")],
)
def test_what_is_no_list_of_photographs_is_refused(
    tmp_path: Path, content: bytes, named: str
) -> None:
    (tmp_path / "bad.csv").write_bytes(content)
    with pytest.raises(DataError, match=named):
        photo_crops(tmp_path, tmp_path / "bad.csv")


def test_photographs_to_train_on_that_are_not_there_are_no_silence(tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text(f"{HEAD}a.jpg,1,2,3,4,A001AA77,1,1\n")
    with pytest.raises(DataError, match="needs a folder 'images'"):
        gather_photos(tmp_path, tmp_path / "good.csv", [])
