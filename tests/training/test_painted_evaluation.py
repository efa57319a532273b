"""Both models judged on plates painted over those of photographs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from platestream.errors import DataError
from platestream.vision.reader import PlateReader
from training.painted_evaluation import evaluate, paint
from training.synthesis.paste import composite
from training.synthesis.plate import render_plate

PHOTOS = 4


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Grey pictures with one plate each, and a box for each that the CSV holds."""
    (tmp_path / "images").mkdir()
    lines = ["file,x1,y1,x2,y2,ignore"]
    rng = np.random.default_rng(1)
    for number in range(PHOTOS):
        image = rng.normal(100, 12, (480, 640, 3)).clip(0, 255).astype(np.uint8)
        corners = np.array([[220, 200], [420, 200], [420, 244], [220, 244]], np.float32)
        composite(image, render_plate("A123BC77", "ru-1"), corners, blur=0.6)
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), image)
        lines.append(f"{number}.png,220,200,420,244,")
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "t.csv"


def test_found_read_and_turned_plates_are_counted(truth: Path) -> None:
    reader = PlateReader.load(threads=1)
    result = evaluate(reader, truth.parent, truth, "ru-1", 0.15, seed=2)
    assert result["painted"] == result["found"]["of"] == PHOTOS
    assert result["found"]["hits"] >= PHOTOS - 1
    assert result["found_and_exact"]["hits"] >= PHOTOS - 1
    wide = [value for key, value in result.items() if key.startswith("exact_from_")]
    assert sum(one["of"] for one in wide) == PHOTOS
    assert sum(one["hits"] for one in wide) == result["found_and_exact"]["hits"]
    assert 0 < result["corner_error"]["median"] < 0.35
    assert 0.4 < result["turn"] < 1.3  # corners turn with their plate


def test_the_plate_that_was_there_is_gone(truth: Path) -> None:
    picture = cv2.imread(str(truth.parent / "images" / "0.png")).astype(np.uint8)
    box = np.array([220, 200, 420, 244], np.float32)
    rng = np.random.default_rng(3)
    text, corners = paint(picture, box, "ru-1a", 0.0, rng)
    assert text != "A123BC77"
    width = np.ptp(corners[:, 0])
    assert width == pytest.approx(200 * 290 / 520, rel=0.02)  # GOST R 50577: 290 mm, not 520
    (read,) = PlateReader.load(threads=1).read([picture])
    assert [plate.text.text for plate in read] == [text]


def test_a_type_that_cannot_be_drawn_and_no_photograph_are_said(truth: Path) -> None:
    reader = PlateReader.load(threads=1)
    with pytest.raises(DataError, match=r"no plate type 'xx-9'.*ru-1a"):
        evaluate(reader, truth.parent, truth, "xx-9", 0.1, seed=0)
    truth.write_text("file,x1,y1,x2,y2,ignore\nz.png,1,2,3,4,\n")
    with pytest.raises(DataError, match="no photograph"):
        evaluate(reader, truth.parent, truth, "ru-1", 0.1, seed=0)
