"""What a batch is made of."""

from __future__ import annotations

import pytest

pytest.importorskip("catalyst", reason="the train extra is not installed")
import numpy as np

from platestream.vision.recognition_model import LineConfig
from training.recognition.dataset import SYNTHETIC_SHARE, JudgedCrops, TrainingCrops, with_real
from training.recognition.plate_pictures import PlatePicture


@pytest.mark.parametrize("synthetic", [0.0, SYNTHETIC_SHARE, 1.0])
def test_real_and_empty_pictures_share_what_synthetic_ones_leave(synthetic: float) -> None:
    mixture = with_real(synthetic)
    assert mixture.synthetic == synthetic
    assert mixture.synthetic + mixture.real + mixture.empty == pytest.approx(1.0)
    usual = with_real()
    assert mixture.real * usual.empty == pytest.approx(mixture.empty * usual.real)


def test_without_synthetic_plates_only_what_is_given_is_read() -> None:
    text, alphabet = "A001AA77", "A017"
    image = np.full((48, 192), 128, np.uint8)
    corners = np.array([[0, 0], [192, 0], [192, 48], [0, 48]], np.float32)
    real = PlatePicture(image, text, (0.0, 0.0, 192.0, 48.0), corners, 1)
    crops = TrainingCrops([real], [], LineConfig(5), alphabet, length=24, seed=0)
    crops.mixture = with_real(0)
    target = [alphabet.index(c) + 1 for c in text]
    seen = [crops[i]["target"].tolist() for i in range(24)]
    assert all(one in (target, []) for one in seen)
    assert target in seen


def test_pictures_that_watch_are_judged_as_they_are_and_spoiled_the_same_each_time() -> None:
    image = np.tile(np.linspace(0, 255, 192, dtype=np.uint8), (48, 1))
    pictures = [PlatePicture(image, text, (0.0, 0.0, 192.0, 48.0)) for text in ("A001AA77", "")]
    alphabet, before = "A017", np.random.get_state()[1].tolist()
    plain = JudgedCrops(pictures, LineConfig(5), alphabet)
    first, second = (JudgedCrops(pictures, LineConfig(5), alphabet, copies=6) for _ in range(2))
    assert np.random.get_state()[1].tolist() == before  # what training draws stays as it is
    assert (len(plain), len(first)) == (2, 14)
    for index in range(2):
        assert plain[index]["image"].equal(first[7 * index]["image"])
    for index in range(14):
        assert first[index]["image"].equal(second[index]["image"])
        assert len(first[index]["target"]) == (8 if index < 7 else 0)
    spoiled = [i for i in range(7) if not first[i]["image"].equal(plain[0]["image"])]
    assert len(spoiled) >= 4
