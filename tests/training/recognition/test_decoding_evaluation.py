"""What decoding is said to mend and to spoil."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from platestream import plates
from platestream.vision.decoding import OTHER
from training.recognition.decoding_evaluation import evaluate

ALPHABET = plates.alphabet() + OTHER


class Doubtful:
    """Reads A0?1AA77 on every picture: a letter O, where no plate has one, likelier than a zero."""

    alphabet, formats, threshold = ALPHABET, plates.shipped(), 0.9

    def probabilities(self, images):  # type: ignore[no-untyped-def]
        one = np.zeros((16, len(ALPHABET) + 1), np.float32)
        one[1::2, 0] = 1
        for at, char in enumerate("A0O1AA77"):
            one[2 * at, ALPHABET.index(char) + 1] = 1
        one[4, [ALPHABET.index("O") + 1, ALPHABET.index("0") + 1]] = 0.55, 0.45
        return np.repeat(one[None], len(images), 0)


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    for name in ("A001AA77", "B002BB77"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((48, 192, 3), 128, np.uint8))
    return tmp_path


def test_formats_mend_what_the_best_path_misreads(crops: Path) -> None:
    result = evaluate(Doubtful(), crops, None, copies=3, seed=0)  # type: ignore[arg-type]
    for part, of in (("crops", 2), ("copies", 6)):
        by_way = {row["way"]: row for row in result[part]}
        assert (by_way["best path"]["exact"]["hits"], by_way["best path"]["exact"]["of"]) == (0, of)
        assert by_way["beam search, odds 1.0"]["mended"] == 0
        for way in ("beam search, odds 0.1", "as it is done"):
            assert by_way[way]["exact"]["hits"] == by_way[way]["mended"] == of // 2
            assert by_way[way]["spoiled"] == 0
            assert by_way[way]["wrong_plates"] == of // 2  # the other crop is read as this plate
        assert by_way["best path"]["wrong_plates"] == 0


def test_there_may_be_no_copies(crops: Path) -> None:
    assert set(evaluate(Doubtful(), crops, None, copies=0, seed=0)) == {"crops"}  # type: ignore[arg-type]
