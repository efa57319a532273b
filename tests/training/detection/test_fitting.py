"""Corners that a detector fits to plates of which a box or a crop is known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("catalyst", reason="the train extra is not installed")

from platestream.errors import DataError
from platestream.vision.detector import Detector
from training.cli import main
from training.detection.fitting import CLOSE_UP_SIDE, fit_crops, fit_photos, write_corners
from training.detection.photos import read_corners
from training.synthesis.paste import draw

# a plate that leans by five degrees
CORNERS = np.array([[200, 150], [399, 167], [397, 210], [198, 193]], np.float32)


def picture() -> npt.NDArray[np.uint8]:
    rng = np.random.default_rng(3)
    image = np.full((360, 640, 3), 90, np.uint8)
    cv2.rectangle(image, (120, 60), (520, 300), (60, 50, 45), -1)
    draw(image, CORNERS, "ru-1", rng, light=210)
    return image


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A photograph with a leaning plate, its box, and a box where no plate is."""
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), picture())
    x1, y1, x2, y2 = *CORNERS.min(0), *CORNERS.max(0)
    box = [(x1 + x2) / 2 / 640, (y1 + y2) / 2 / 360, (x2 - x1) / 640, (y2 - y1) / 360]
    nothing = [0.1, 0.9, 0.1, 0.05]
    lines = [" ".join(map(str, [0, *b])) for b in (box, nothing)]
    (tmp_path / "labels" / "a.txt").write_text("\n".join(lines))
    return tmp_path


@pytest.fixture(scope="module")
def close_up_detector() -> Detector:
    return Detector.load(threads=1, long_side=CLOSE_UP_SIDE)


def test_a_leaning_plate_in_its_box(photos: Path, close_up_detector: Detector) -> None:
    fitted, plates = fit_photos(close_up_detector, photos)
    assert plates == 2
    (corners,) = fitted["a.png"]
    assert np.abs(corners - CORNERS).max() < 6


def test_a_leaning_plate_in_its_crop(tmp_path: Path, close_up_detector: Detector) -> None:
    left, top = 180, 135
    cv2.imwrite(str(tmp_path / "a.png"), picture()[top:225, left:420])
    cv2.imwrite(str(tmp_path / "none.png"), np.full((60, 200, 3), 90, np.uint8))
    fitted, crops = fit_crops(close_up_detector, tmp_path)
    assert (list(fitted), crops) == (["a.png"], 2)
    assert np.abs(fitted["a.png"][0] + [left, top] - CORNERS).max() < 6


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "corners.csv"
    write_corners(path, {"b.png": [CORNERS, CORNERS + 0.26], "none.png": []})
    read = read_corners(path)
    assert list(read) == ["b.png"]
    assert np.allclose(read["b.png"], [CORNERS, CORNERS + 0.3], atol=1e-4)
    with pytest.raises(DataError, match=r"cannot write .*corners\.csv'"):
        write_corners(tmp_path / "no" / "corners.csv", {})


@pytest.mark.parametrize("given", [[], ["--photos", "a", "--crops", "b"]])
def test_the_command_takes_photographs_or_crops(
    given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit-corners", "--output", "c.csv", *given]) == 2
    assert "name either --photos or --crops" in capsys.readouterr().err
