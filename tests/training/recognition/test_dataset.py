"""What a batch is made of."""

from __future__ import annotations

import pytest

pytest.importorskip("catalyst", reason="the train extra is not installed")
import numpy as np

from platestream.vision.recognition_model import LineConfig
from training.recognition.dataset import SYNTHETIC_SHARE, TrainingCrops, with_real
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
