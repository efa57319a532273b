"""Contact sheets of what a model gets wrong."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from platestream.vision.detector import Detection, Detector
from platestream.vision.recognizer import Recognizer
from training import cli
from training.failures import CELL, VIEW, misread, overlooked


class _Blind(Detector):
    """Finds nothing."""

    def __init__(self) -> None:
        pass

    def detect(self, images: object) -> list[Detection]:  # type: ignore[override]
        return []


class _Fanciful(_Blind):
    """Sees a plate where there is sky."""

    def detect(self, images: object) -> list[Detection]:  # type: ignore[override]
        corners = np.array([[20, 20], [90, 20], [90, 40], [20, 40]], np.float32)
        return [Detection(corners, 0.75)]


def test_every_failure_is_one() -> None:
    recognizer = Recognizer.load()
    found = misread(recognizer, 4, seed=3)
    assert found.wrong == len(found.pictures) == len(found.captions) == 4
    assert found.drawn > 8  # most are read
    assert {p.shape for p in found.pictures} == {(CELL[1], CELL[0], 3)}
    for caption in found.captions:
        text, read = caption.split(": ")
        assert text != read.split()[0]
    again = misread(recognizer, 4, seed=3)
    assert (again.captions, again.drawn) == (found.captions, found.drawn)


def test_what_is_missed_and_what_is_not_there() -> None:
    missed = overlooked(_Blind(), 3, seed=0)
    assert missed.wrong == missed.drawn >= 3
    assert all(caption.startswith("missed, ") for caption in missed.captions)
    assert {p.shape for p in missed.pictures} == {(VIEW[1], VIEW[0], 3)}
    assert all((p == (80, 220, 80)).all(2).any() for p in missed.pictures)  # framed in green
    fancied = overlooked(_Fanciful(), 4, seed=0)
    assert "no plate, 75%" in fancied.captions


def test_the_command_writes_the_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / "sheet.jpg"
    arguments = ["contact-sheet", str(sheet), "--count", "2", "--columns", "2"]
    assert cli.main([*arguments, "--failures", "recognizer"]) == 0
    assert cv2.imread(str(sheet)).shape[1] == 2 * CELL[0]
    assert "2 failures, 2 of" in capsys.readouterr().err
    assert cli.main([*arguments, "--failures", "tracker"]) == 2
    assert "no failures of 'tracker'" in capsys.readouterr().err
