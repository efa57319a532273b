"""The whole path judged on photographs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest

from platestream.errors import DataError
from platestream.vision.reader import PlateReader, ReadPlate
from training.reader_evaluation import (
    evaluate,
    evaluate_cut,
    evaluate_small,
    evaluate_spoiled,
)
from training.spoiling import WAYS
from training.synthesis.paste import composite
from training.synthesis.plate import render_plate

HEAD = "file,x1,y1,x2,y2,text,readable,lines\n"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A grey picture with one clean plate."""
    image = np.full((360, 640, 3), 90, np.uint8)
    corners = np.array([[200, 150], [420, 150], [420, 197], [200, 197]], np.float32)
    composite(image, render_plate("A123BC77", "ru-1"), corners, blur=0.6)
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), image)
    return tmp_path


def test_plates_are_found_read_or_missed(photo: Path) -> None:
    truth = photo / "t.csv"
    truth.write_text(
        HEAD
        + "a.png,200,150,420,197,A123BC77,1,1\n"  # right
        + "a.png,10,10,90,30,B456EK99,1,1\n"  # not there
        + "a.png,500,300,560,320,,0,1\n"  # not asked for
    )
    result = evaluate(PlateReader.load(threads=1), photo, truth)
    assert (result["found"]["hits"], result["found"]["of"]) == (1, 2)
    assert result["found_and_exact"]["hits"] == result["found_and_shown"]["hits"] == 1
    assert [m["read"] for m in result["mistakes"]] == ["not found"]
    truth.write_text(HEAD + "a.png,200,150,420,197,A128BC77,1,1\n")
    result = evaluate(PlateReader.load(threads=1), photo, truth)
    assert (result["found"]["hits"], result["found_and_exact"]["hits"]) == (1, 0)
    assert result["mistakes"] == [{"file": "a.png", "text": "A128BC77", "read": "A123BC77"}]


def test_a_character_that_is_not_shown_is_not_read_for_who_looks(photo: Path) -> None:
    (photo / "t.csv").write_text(HEAD + "a.png,200,150,420,197,A123BC77,1,1\n")
    reader = PlateReader.load(threads=1)
    ((plate,),) = reader.read([cv2.imread(str(photo / "images" / "a.png"))])
    hidden = replace(plate, text=replace(plate.text, text="A12?BC77", accepted=False))

    class Doubting:
        alphabet = reader.alphabet

        def read(self, images: list[np.ndarray]) -> list[list[ReadPlate]]:
            return [[hidden] for _ in images]

    result = evaluate(cast("PlateReader", Doubting()), photo, photo / "t.csv")
    assert (result["found_and_exact"]["hits"], result["found_and_shown"]["hits"]) == (1, 0)


def test_a_plate_beyond_its_photograph_is_no_miss_but_an_error(photo: Path) -> None:
    (photo / "t.csv").write_text(HEAD + "a.png,900,150,990,197,A123BC77,1,1\n")
    with pytest.raises(DataError, match=r"a\.png' has 640x360 pixels, and no plate at"):
        evaluate(PlateReader.load(threads=1), photo, photo / "t.csv")


def test_plates_at_the_edge_of_the_picture_are_judged_apart(photo: Path) -> None:
    truth = photo / "t.csv"
    truth.write_text(HEAD + "a.png,200,150,420,197,A123BC77,1,1\n")
    reader = PlateReader.load(threads=1)
    for cut in (0.02, 0.3):
        result = evaluate_cut(reader, photo, truth, cut)
        assert [result[f"accepted_cut_{side}"]["hits"] for side in ("right", "left")] == [0, 0]
        assert result["accepted_cut_right"]["of"] == 1
    truth.write_text(HEAD + "a.png,170,150,450,197,A123BC77,1,1\n")  # grounds beside it
    result = evaluate_cut(reader, photo, truth, 0.02)
    assert [result[f"accepted_cut_{side}_right"]["hits"] for side in ("right", "left")] == [1, 1]


def test_plates_are_made_small_in_a_large_frame(photo: Path) -> None:
    truth = photo / "t.csv"
    truth.write_text(HEAD + "a.png,200,150,420,197,A123BC77,1,1\n")
    reader = PlateReader.load(threads=1)
    for width, hits in ((60, 1), (8, 0)):
        result = evaluate_small(reader, photo, truth, width)
        assert (result["found"]["hits"], result["found"]["of"]) == (hits, 1)
    truth.write_text(HEAD + "a.png,200,150,260,197,A123BC77,1,1\n")
    with pytest.raises(DataError, match="single plate of 70 px"):
        evaluate_small(reader, photo, truth, 24)


def test_plates_are_read_in_spoiled_pictures_where_those_have_them(photo: Path) -> None:
    truth = photo / "t.csv"
    truth.write_text(HEAD + "a.png,200,150,420,197,A123BC77,1,1\n")
    rows = evaluate_spoiled(PlateReader.load(threads=1), photo, truth)["ways"]
    by_way = {row["way"]: row for row in rows}
    assert list(by_way) == list(WAYS)
    for way in ("turned by 30 degrees", "leaning by 20 degrees", "fog", "dusk"):
        assert by_way[way]["found_and_exact"]["hits"] == 1, way
    assert all(row["found"]["of"] == 1 for row in rows)


def test_nothing_to_judge_and_a_missing_photograph_are_said(photo: Path) -> None:
    truth = photo / "t.csv"
    reader = PlateReader.load(threads=1)
    truth.write_text(HEAD)
    with pytest.raises(DataError, match="no readable plate"):
        evaluate(reader, photo, truth)
    truth.write_text(HEAD + "b.png,1,2,3,4,A123BC77,1,1\n")
    with pytest.raises(DataError, match=r"b\.png"):
        evaluate(reader, photo, truth)
