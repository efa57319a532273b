"""The detector judged on photographs, alone and as `read` gives its plates."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from platestream.errors import DataError
from platestream.vision.detector import Detection, Detector, Image
from platestream.vision.reader import PlateReader
from platestream.vision.recognizer import Recognizer
from training.cli import main
from training.detection.evaluation import as_read, evaluate
from training.synthesis.paste import composite
from training.synthesis.plate import render_plate

CHECKED = Path(__file__).parents[3] / "training" / "data"
HEAD = "file,x1,y1,x2,y2,ignore\n"
PLATE, ELSEWHERE = (200, 150, 420, 197), (20, 20, 120, 45)


def quad(x1: float, y1: float, x2: float, y2: float) -> np.ndarray:
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float32)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A grey picture with one clean plate, and one without any."""
    for folder in ("images", "labels", "empty"):
        (tmp_path / folder).mkdir()
    image = np.full((360, 640, 3), 90, np.uint8)
    cv2.imwrite(str(tmp_path / "empty" / "b.png"), image)
    composite(image, render_plate("A123BC77", "ru-1"), quad(*PLATE), blur=0.6)
    cv2.imwrite(str(tmp_path / "images" / "a.png"), image)
    (tmp_path / "labels" / "a.txt").write_text("")
    truth = ",".join(map(str, PLATE))
    (tmp_path / "t.csv").write_text(f"{HEAD}a.png,{truth},0\na.png,500,300,560,320,1\n")
    return tmp_path


def finds(*boxes: tuple[int, int, int, int]):  # type: ignore[no-untyped-def]
    """A detector that sees plates there in every picture."""

    def find(image: Image) -> list[Detection]:
        return [Detection(quad(*box), 0.9 - 0.1 * i) for i, box in enumerate(boxes)]

    return find


@pytest.mark.parametrize(
    ("boxes", "hits", "detections", "mistakes"),
    [
        ([PLATE], 1, 1, []),
        ([], 0, 0, [{"file": "a.png", "missed": 1, "false": 0}]),
        ([PLATE, ELSEWHERE], 1, 2, [{"file": "a.png", "missed": 0, "false": 1}]),
        ([PLATE, (500, 300, 560, 320)], 1, 1, []),  # which does not count
    ],
)
def test_hits_misses_and_false_alarms_are_counted(
    data: Path,
    boxes: list[tuple[int, int, int, int]],
    hits: int,
    detections: int,
    mistakes: list[dict[str, object]],
) -> None:
    result = evaluate(finds(*boxes), data, data / "t.csv", empty=data / "empty")
    assert (result["recall"]["hits"], result["recall"]["of"]) == (hits, 1)
    assert (result["precision"]["hits"], result["precision"]["of"]) == (hits, detections)
    assert result["mistakes"] == mistakes
    assert (result["empty"]["hits"], result["empty"]["of"]) == (int(bool(boxes)), 1)


def test_where_no_photograph_is_it_says_so(data: Path) -> None:
    (data / "images" / "a.png").unlink()
    with pytest.raises(DataError, match="none of the 1 photographs"):
        evaluate(finds(), data, data / "t.csv")


@pytest.mark.parametrize("how", [[], ["--as-read"]])
def test_the_command_finds_a_clean_plate(
    data: Path, capsys: pytest.CaptureFixture[str], how: list[str]
) -> None:
    words = ["evaluate", "detector", "--data", str(data), "--labels", str(data / "t.csv")]
    assert main([*words, "--json", *how]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["recall"]["hits"], result["precision"]["of"]) == (1, 1)
    assert 0 < result["score_threshold"] < 1


@pytest.mark.shared
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("is_read", "recall"), [(False, 0.96), (True, 0.98)])
def test_the_shipped_one_finds_as_much_as_it_did(
    shared: Path, is_read: bool, recall: float
) -> None:
    detector = Detector.load()
    reader = PlateReader(detector, Recognizer.load())
    result = evaluate(
        as_read(reader) if is_read else detector.detect,
        shared / "data" / "plate_boxes",
        CHECKED / "photos_validation_boxes.csv",
    )
    assert result["photographs"] >= 150
    assert result["recall"]["share"] >= recall
    assert result["precision"]["share"] >= 0.97
