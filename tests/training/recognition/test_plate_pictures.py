"""Labelled pictures in memory, and the views of them that are trained on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from platestream.errors import DataError
from training.recognition.crops import Crop, photo_crops
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


def test_a_bad_row_of_a_list_of_photographs_is_named(tmp_path: Path) -> None:
    rows = "file,x1,y1,x2,y2,text,readable,lines\na.jpg,1,2,3,4,A001AA77,1,1\n"
    good = tmp_path / "good.csv"
    good.write_text(rows + "b.jpg,1,2,3,4,,0,1\n")
    assert [c.text for c in photo_crops(tmp_path, good)] == ["A001AA77"]
    bad = tmp_path / "bad.csv"
    bad.write_text(rows + "b.jpg,1,x,3,4,A001AA77,1,1\n")
    with pytest.raises(DataError, match="row 3"):
        photo_crops(tmp_path, bad)
