"""Two-line plates become one line."""

from __future__ import annotations

import numpy as np
import pytest

from platestream.vision.layout import unstack


def test_the_lower_line_comes_to_the_right_of_the_upper_one() -> None:
    image = np.zeros((100, 160), np.uint8)
    image[10:30, 20:40] = 200  # in the upper line, at the left
    image[70:90, 120:140] = 100  # in the lower line, at the right
    line = unstack(image)
    assert line.shape == (57, 320)
    upper, lower = np.argwhere(line == 200), np.argwhere(line == 100)
    assert upper[:, 1].max() < 160 <= lower[:, 1].min()
    assert (line == 200).sum() == 400
    assert (line == 100).sum() == 400


@pytest.mark.parametrize("shape", [(1, 1), (1, 9, 3), (2, 5), (7, 3, 3)])
def test_even_the_smallest_picture_has_two_lines(shape: tuple[int, ...]) -> None:
    line = unstack(np.full(shape, 7, np.uint8))
    assert line.shape[1] == 2 * shape[1]
    assert (line == 7).all()
