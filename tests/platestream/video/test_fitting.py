"""Pictures of any size in one: nothing is stretched."""

from __future__ import annotations

import numpy as np
import pytest

from platestream.video import fit


def test_the_same_size_is_the_same_array() -> None:
    image = np.full((90, 160, 3), 200, np.uint8)
    assert fit(image, 160, 90) is image


@pytest.mark.parametrize(
    ("size", "inner"),
    [
        ((320, 180), (160, 90)),
        ((60, 60), (90, 90)),
        ((16, 1600), (1, 90)),
        ((1600, 10), (160, 1)),
    ],
)
def test_sides_keep_their_ratio_between_black_borders(
    size: tuple[int, int], inner: tuple[int, int]
) -> None:
    fitted = fit(np.full((size[1], size[0], 3), 200, np.uint8), 160, 90)
    assert fitted.shape == (90, 160, 3)
    bright = fitted[..., 0] > 100
    rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
    assert (len(columns), len(rows)) == inner
    assert abs(rows[0] - (89 - rows[-1])) <= 1
    assert abs(columns[0] - (159 - columns[-1])) <= 1
    assert not fitted[~bright].any()
