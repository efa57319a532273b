"""Plates in perspective."""

from __future__ import annotations

import numpy as np

from training.synthesis.paste import random_corners


def test_a_plate_seen_from_above_and_from_beside_climbs() -> None:
    rng = np.random.default_rng(0)
    slopes = []
    for _ in range(2000):
        corners = random_corners(rng, 200.0, roll=0.0)
        across = corners[1] - corners[0] + corners[2] - corners[3]
        slopes.append(abs(across[1] / across[0]))
    # by chance alone, as where the long sides stayed level, 1 in 80
    assert 0.05 < np.mean(np.array(slopes) > 0.2) < 0.25
    assert max(slopes) < 2
