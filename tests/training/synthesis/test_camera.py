"""What a camera does to a picture."""

from __future__ import annotations

import numpy as np
import pytest

from training.synthesis.camera import leaning, rolling_shutter


@pytest.mark.parametrize("lean", [16.0, -24.0])
def test_a_rolling_shutter_moves_every_row_on_by_as_much(lean: float) -> None:
    image = np.zeros((64, 200, 3), np.uint8)
    image[:, 98:103] = 255  # an upright bar
    moved = rolling_shutter(image, lean, 1)
    assert (moved.shape, moved.dtype) == (image.shape, np.uint8)
    weights = moved[:, :, 0].astype(float)
    centres = weights @ np.arange(200) / weights.sum(1)
    expected = 100 + lean * (np.arange(64) / 64 - 0.5)
    assert np.abs(centres - expected).max() < 0.1
    assert leaning(lean, 64) @ [100, 16, 1] == pytest.approx([expected[16], 16])


def test_it_smears_along_the_rows_only() -> None:
    image = np.zeros((64, 200, 3), np.uint8)
    image[20:40, 80:120] = 240
    sharp, smeared = rolling_shutter(image, 0.0, 1), rolling_shutter(image, 0.0, 9)
    assert np.array_equal(sharp, image)
    assert np.count_nonzero(smeared[30, :, 0]) == 48
    assert np.flatnonzero(smeared[:, 100, 0]).tolist() == list(range(20, 40))
