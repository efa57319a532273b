"""Tiles cover a picture; of what several of them see, each thing is kept once."""

from __future__ import annotations

import numpy as np
import pytest

from platestream.vision.tiling import Tile, is_cut, merge, tiles


@pytest.mark.parametrize("size", [(3840, 2160), (1281, 700), (1920, 1080), (5000, 41)])
def test_what_is_no_larger_than_the_overlap_lies_whole_in_a_tile(size: tuple[int, int]) -> None:
    width, height = size
    made = tiles(width, height, 1280, 160)
    rng = np.random.default_rng(0)
    for _ in range(300):
        w, h = rng.integers(1, min(160, width)), rng.integers(1, min(160, height))
        x, y = rng.integers(0, width - w + 1), rng.integers(0, height - h + 1)
        assert any(t.x1 <= x and t.y1 <= y and x + w <= t.x2 and y + h <= t.y2 for t in made)


def test_a_picture_that_fits_is_one_tile_and_others_are_no_more_than_needed() -> None:
    assert tiles(1280, 720, 1280, 160) == [Tile(0, 0, 1280, 720)]
    assert len(tiles(1920, 1080, 1280, 160)) == 2
    assert all(t.x2 - t.x1 <= 1280 and t.y2 - t.y1 <= 1280 for t in tiles(3840, 2160, 1280, 160))


def test_an_overlap_as_large_as_a_tile_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        tiles(100, 100, 32, 32)


def test_only_edges_inside_the_picture_cut() -> None:
    left = Tile(0, 0, 100, 50)
    assert is_cut(np.array([80, 10, 99.5, 20], np.float32), left, 180, 50)
    assert not is_cut(np.array([0, 10, 20, 20], np.float32), left, 180, 50)
    assert not is_cut(np.array([40, 30, 60, 50], np.float32), left, 180, 50)


def test_a_part_goes_with_its_whole_and_neighbours_stay() -> None:
    boxes = np.array(
        [[10, 10, 60, 20], [11, 10, 61, 21], [40, 10, 62, 20], [70, 10, 120, 20]], np.float32
    )
    assert merge(boxes, np.array([0.9, 0.8, 0.7, 0.6], np.float32)) == [0, 3]
    assert merge(boxes[:0], np.zeros(0, np.float32)) == []
