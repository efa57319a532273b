"""Labels judged by models that never saw the crop."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("catalyst", reason="the train extra is not installed")

from platestream.vision.decoding import Character, PlateText
from training.recognition.cleaning import Verdict, judge, write_corrections
from training.recognition.cleaning_report import write_report
from training.recognition.crops import Crop
from training.recognition.start import ALPHABET

TRUTH = {"A001AA 77.png": "A001AA77", "B002BB 77.png": "B902BB77", "C003CC 77.png": "C003CC77",
         "E004EE 102.png": "E004EE10", "H005HH 77.png": "H005HH77"}  # fmt: skip


class _Eyes:
    """Reads a crop's truth from the brightness that the test gave it."""

    def predict(self, images: Sequence[Any]) -> list[PlateText]:
        texts = [list(TRUTH.values())[int(image.mean()) // 40] for image in images]
        return [self._sure_of(text) for text in texts]

    def _sure_of(self, text: str) -> PlateText:
        rows = np.full((2 * len(text), len(ALPHABET) + 1), 1e-4, np.float32)
        for place, char in enumerate(text):
            rows[2 * place, ALPHABET.index(char) + 1] = 1
            rows[2 * place + 1, 0] = 1
        rows /= rows.sum(1, keepdims=True)
        characters = tuple(Character(char, 0.99) for char in text)
        return PlateText(text, 0.99, characters, True, text, "ru-1", rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index, file in enumerate(TRUTH):
        noise = np.random.default_rng(index).integers(-9, 10, (40, 120, 3))
        cv2.imwrite(str(tmp_path / file), np.clip(20 + 40 * index + noise, 0, 255).astype(np.uint8))
    return tmp_path


def _verdicts(folder: Path, reviewed: dict[str, str]) -> tuple[dict[str, Verdict], list[set[str]]]:
    seen: list[set[str]] = []

    def train(crops: Sequence[Crop], _number: int) -> Any:
        seen.append({crop.path.name for crop in crops})
        return _Eyes()

    groups = [[file] for file in TRUTH]
    second = {"H005HH 77.png": "H005HK77", "E004EE 102.png": "E004EE10"}
    verdicts = judge(folder, groups, second, reviewed, train, folds=3)
    return {v.file: v for v in verdicts}, seen


def test_labels_are_kept_changed_added_and_dropped(folder: Path) -> None:
    verdicts, seen = _verdicts(folder, {})
    assert verdicts["A001AA 77.png"].action == "kept"
    assert verdicts["B002BB 77.png"].action == "dropped"  # nobody wrote what the model reads
    assert verdicts["E004EE 102.png"].text == "E004EE10"
    assert verdicts["H005HH 77.png"].action == "added"
    assert verdicts["H005HH 77.png"].reasons == (
        "no label: the name says H005HH77, the reading H005HK77",
    )
    assert verdicts["B002BB 77.png"].reasons == ("the model reads another text",)
    assert len(seen) == 3
    first = next(iter(verdicts.values()))
    assert first.reasons
    assert verdicts["B002BB 77.png"].suspicion > 5


def test_no_model_judges_what_it_was_trained_on(folder: Path) -> None:
    _, seen = _verdicts(folder, {})
    labelled = set(TRUTH) - {"H005HH 77.png"}
    left_out = [labelled - files for files in seen]
    assert set().union(*left_out) == labelled
    assert sum(map(len, left_out)) == len(labelled)


def test_what_a_person_read_overrules_everything(folder: Path) -> None:
    verdicts, _ = _verdicts(folder, {"A001AA 77.png": "", "B002BB 77.png": "B902BB77"})
    assert verdicts["A001AA 77.png"].action == "dropped"
    assert verdicts["B002BB 77.png"].text == "B902BB77"
    assert verdicts["B002BB 77.png"].action == "changed"


def test_corrections_and_the_page_say_what_was_decided(folder: Path, tmp_path: Path) -> None:
    verdicts, _ = _verdicts(folder, {"B002BB 77.png": "B902BB77"})
    write_corrections(tmp_path / "c.csv", list(verdicts.values()))
    with (tmp_path / "c.csv").open() as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert rows["B002BB 77.png"]["text"] == "B902BB77"
    assert "eye" in rows["B002BB 77.png"]["reason"]
    assert "A001AA 77.png" not in rows
    write_report(tmp_path / "report.html", folder, list(verdicts.values()))
    page = (tmp_path / "report.html").read_text()
    assert page.count("<img") == len(TRUTH)
    assert page.index("B002BB 77.png") < page.index("A001AA 77.png")
