"""Judging the recognizer: what counts, and labels that do not hold."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from platestream.errors import DataError, SourceError
from platestream.vision.recognizer import Recognizer
from training import cli
from training.recognition.evaluation import (
    evaluate,
    evaluate_photos,
    evaluate_spoiled_photos,
)
from training.spoiling import WAYS
from training.synthesis.plate import render_plate

CHECKED = Path(__file__).parents[3] / "training" / "data"
TEXTS = ["A301PO174", "M807MA71", "T631TA71", "K282OT71"]


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load()


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Clean plates, one file whose label is wrong, and pictures without a plate."""
    folder = tmp_path / "crops"
    (folder / "Negative").mkdir(parents=True)
    rows = [["file", "text", "readable"]]
    for number, text in enumerate(TEXTS):
        cv2.imwrite(str(folder / f"{number}.png"), render_plate(text, px_per_mm=0.4))
        rows.append([f"{number}.png", text if number else "B301PO174", "1"])
    cv2.imwrite(str(folder / "Negative" / "a.png"), np.full((40, 160, 3), 90, np.uint8))
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([*rows, ["gone.png", "", "0"]])
    return tmp_path


def test_what_is_counted(recognizer: Recognizer, crops: Path) -> None:
    result = evaluate(recognizer, crops / "crops", crops / "labels.csv", None)
    assert (result["exact"]["hits"], result["exact"]["of"]) == (3, 4)
    assert result["exact_unconstrained"]["hits"] == 3
    assert result["accepted_right"]["of"] - result["accepted_right"]["hits"] == 1
    (mistake,) = result["mistakes"]
    assert (mistake["file"], mistake["unconstrained"]) == ("0.png", "A301PO174")
    half = next(row for row in result["risk_coverage"] if row["threshold"] == 0.5)
    assert (half["accepted"]["hits"], half["right"]["hits"]) == (4, 3)
    assert result["calibration_error"] > 0.1  # it is sure, and one in four is wrong
    assert result["negatives_empty"]["hits"] == 1


def test_pictures_that_cannot_be_read_are_named_and_do_not_count(
    recognizer: Recognizer, crops: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (crops / "crops" / "1.png").write_text("no picture")
    result = evaluate(recognizer, crops / "crops", crops / "labels.csv", None)
    assert result["exact"]["of"] == 3
    (unreadable,) = result["unreadable_files"]
    assert "1.png' is not a picture" in unreadable["error"]
    for number in range(4):
        (crops / "crops" / f"{number}.png").write_bytes(b"")
    arguments = ["--data", str(crops / "crops"), "--labels", str(crops / "labels.csv")]
    assert cli.main(["evaluate", "recognizer", *arguments]) == 2
    said = capsys.readouterr().err
    assert "no picture can be read" in said
    assert "3.png' is empty" in said


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ("5.png,A301PO174,1", "line 7: '5.png' is not in"),
        ("1.png,Ж301PO174,1", "line 7: 'Ж301PO174' of '1.png' has 'Ж'"),
        ("1.png,A301P?174,1", r"line 7: .*'\?'"),
        ("1.png,A301PO174,1", "line 7: '1.png' is 'A301PO174' here and 'M807MA71' above"),
    ],
)
def test_a_row_that_does_not_hold_is_named(
    recognizer: Recognizer, crops: Path, capsys: pytest.CaptureFixture[str], row: str, named: str
) -> None:
    labels = crops / "labels.csv"
    labels.write_text(labels.read_text().rstrip() + f"\n{row}\n", encoding="utf-8")
    with pytest.raises(DataError, match=named):
        evaluate(recognizer, crops / "crops", labels, None)
    arguments = ["--data", str(crops / "crops"), "--labels", str(labels)]
    assert cli.main(["evaluate", "recognizer", *arguments]) == 2
    said = capsys.readouterr().err
    assert "line 7" in said
    assert "Traceback" not in said


def test_negatives_that_are_not_there_are_named(recognizer: Recognizer, crops: Path) -> None:
    (crops / "negatives.csv").write_text("file\na.png\nb.png\n")
    with pytest.raises(DataError, match=r"line 3: 'b\.png'"):
        evaluate(recognizer, crops / "crops", crops / "labels.csv", crops / "negatives.csv")


@pytest.mark.parametrize(
    ("rows", "named"),
    [("text,file\nA\n", "line 2 ends too early: it has no 'file'"), ("file\n", "names no file"),
     ("name\na.png\n", "needs columns file"), ('file\n"a.png\n', "a quote too many")],
)  # fmt: skip
def test_a_list_of_negatives_that_does_not_hold_is_refused(
    recognizer: Recognizer, crops: Path, rows: str, named: str
) -> None:
    (crops / "negatives.csv").write_text(rows)
    with pytest.raises(DataError, match=named):
        evaluate(recognizer, crops / "crops", crops / "labels.csv", crops / "negatives.csv")


def test_where_no_plate_has_a_text_no_character_can_be_wrong(
    recognizer: Recognizer, crops: Path
) -> None:
    (crops / "labels.csv").write_text("file,text\nNegative/a.png,\n")
    result = evaluate(recognizer, crops / "crops", crops / "labels.csv", None)
    assert result["character_error_rate"] is None
    assert (result["exact"]["hits"], result["exact"]["of"]) == (1, 1)


def test_labels_that_are_no_text_are_refused(recognizer: Recognizer, crops: Path) -> None:
    (crops / "labels.csv").write_bytes(b"file,text\n\xff\xfe,A\n")
    with pytest.raises(DataError, match="UTF-8"):
        evaluate(recognizer, crops / "crops", crops / "labels.csv", None)
    (crops / "labels.csv").write_text("file,text\n")
    with pytest.raises(DataError, match="has a text"):
        evaluate(recognizer, crops / "crops", crops / "labels.csv", None)


def test_the_command_prints_shares_with_intervals(
    crops: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(crops / "crops"), "--labels", str(crops / "labels.csv")]
    assert cli.main(["evaluate", "recognizer", *arguments]) == 0
    said = capsys.readouterr().out
    assert "exact: 75.00% (3 of 4; 95% 0.3006–0.9544)" in said
    assert "threshold=0.5  accepted=100.00%" in said
    assert cli.main(["evaluate", "recognizer", *arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["exact"]["hits"] == 3


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A photograph of two plates, one of whose texts is wrong, with its CSV."""
    (tmp_path / "images").mkdir()
    photo = np.full((300, 600, 3), 90, np.uint8)
    rows = ["file,x1,y1,x2,y2,text,readable,lines"]
    for top, text, said in ((40, TEXTS[0], TEXTS[0]), (180, TEXTS[1], "M807MA77")):
        plate = render_plate(text, px_per_mm=0.4)
        height, width = plate.shape[:2]
        photo[top : top + height, 200 : 200 + width] = plate
        rows.append(f"a.png,200,{top},{200 + width},{top + height},{said},1,1")
    rows.append("a.png,0,0,9,9,,0,1")
    cv2.imwrite(str(tmp_path / "images" / "a.png"), photo)
    (tmp_path / "texts.csv").write_text("\n".join(rows))
    return tmp_path


def test_plates_of_photographs_are_judged_along_their_boxes(
    recognizer: Recognizer, photos: Path
) -> None:
    result = evaluate_photos(recognizer, photos, photos / "texts.csv")
    assert (result["photos_exact"]["hits"], result["photos_exact"]["of"]) == (1, 2)
    (mistake,) = result["photos_mistakes"]
    assert (mistake["text"], mistake["read"]) == ("M807MA77", "M807MA71")


def test_plates_of_spoiled_photographs_are_cut_where_they_have_moved_to(
    recognizer: Recognizer, photos: Path
) -> None:
    result = evaluate_spoiled_photos(recognizer, photos, photos / "texts.csv")
    rows = {row["way"]: row for row in result["photos_spoiled"]}
    assert rows.keys() == WAYS.keys()
    for way in ("turned by 30 degrees", "turned by 45 degrees", "fog"):
        assert (rows[way]["exact"]["hits"], rows[way]["exact"]["of"]) == (1, 2)
        assert (rows[way]["accepted"]["hits"], rows[way]["accepted_right"]["hits"]) == (2, 1)


def test_a_photograph_that_is_not_there_is_named(recognizer: Recognizer, photos: Path) -> None:
    (photos / "images" / "a.png").unlink()
    with pytest.raises(SourceError, match=r"a\.png"):
        evaluate_photos(recognizer, photos, photos / "texts.csv")


def test_photographs_and_their_texts_go_together(
    crops: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(crops / "crops"), "--labels", str(crops / "labels.csv")]
    assert cli.main(["evaluate", "recognizer", *arguments, "--photos", str(photos)]) == 2
    assert "--photo-texts" in capsys.readouterr().err
    assert cli.main(["evaluate", "recognizer", *arguments, "--spoiled"]) == 2
    assert "--spoiled wants --photos" in capsys.readouterr().err


@pytest.mark.shared
@pytest.mark.timeout(300)
def test_the_shipped_one_keeps_its_score(recognizer: Recognizer, shared: Path) -> None:
    result = evaluate(
        recognizer,
        shared / "data" / "CropNumbers",
        CHECKED / "crops_validation.csv",
        CHECKED / "negative_validation.csv",
    )
    assert result["exact"]["of"] >= 300
    assert result["exact"]["share"] >= 0.97
    assert result["negatives_accepted"]["share"] <= 0.02
