"""Mounting a plate: frames go round it, and the plate's corners stay known."""

from __future__ import annotations

import numpy as np

from training.synthesis.plate import render_plate
from training.synthesis.surface import mount


def test_corners_lie_on_the_plate_whatever_was_put_round_it() -> None:
    plate = render_plate("A301PO174", px_per_mm=0.6)
    height, width = plate.shape[:2]
    framed = 0
    for seed in range(40):
        mounted = mount(plate, np.random.default_rng(seed))
        x, y = (int(v) for v in mounted.corners[0])
        assert (mounted.corners[2] == [x + width, y + height]).all()
        assert mounted.image.shape[0] >= y + height
        assert mounted.image.shape[1] >= x + width
        seen = mounted.image[y : y + height, x : x + width].mean(2)
        middle = (slice(10, -10), slice(20, -20))
        assert np.corrcoef(seen[middle].ravel(), plate.mean(2)[middle].ravel())[0, 1] > 0.4
        framed += x > 0
    assert 8 < framed < 32


def test_the_given_plate_is_left_as_it_is() -> None:
    plate = render_plate("A301PO174", px_per_mm=0.6)
    kept = plate.copy()
    for seed in range(20):
        mount(plate, np.random.default_rng(seed))
    assert (plate == kept).all()
