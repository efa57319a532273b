"""Peaks of the detector's map."""

from __future__ import annotations

import numpy as np
import pytest

from platestream.vision.heatmap import OFFSET_SCALE, STRIDE, decode_map


def blank(rows: int = 9, columns: int = 12) -> np.ndarray:
    found = np.zeros((9, rows, columns), np.float32)
    found[0] = -6
    return found


def test_peaks_come_surest_first_with_their_corners() -> None:
    found = blank()
    found[0, 2, 3], found[0, 2, 4] = 2.0, 1.0  # the second is a neighbour, no peak
    found[0, 7, 11] = 3.0  # in the map's corner
    found[1:, 2, 3] = [-1, -0.5, 1, -0.5, 1, 0.5, -1, 0.5]
    corners, scores = decode_map(found, 0.4, 10)
    assert scores == pytest.approx([1 / (1 + np.exp(-3)), 1 / (1 + np.exp(-2))])
    centre = np.array([3.5, 2.5]) * STRIDE
    away = np.array([[-1, -0.5], [1, -0.5], [1, 0.5], [-1, 0.5]]) * OFFSET_SCALE
    assert corners[1] == pytest.approx(centre + away)
    assert corners[0] == pytest.approx(np.tile(np.array([11.5, 7.5]) * STRIDE, (4, 1)))
    assert corners.dtype == scores.dtype == np.float32


def test_the_threshold_and_the_most() -> None:
    found = blank()
    for column, heat in ((1, -1.0), (4, 0.0), (7, 1.0), (10, 2.0)):
        found[0, 4, column] = heat
    assert len(decode_map(found, 0.5, 10)[1]) == 3
    assert decode_map(found, 0.5, 2)[1] == pytest.approx([0.880797, 0.731059], abs=1e-5)
    assert len(decode_map(found, 0.0, 100)[1]) >= 4
    assert len(decode_map(found, 1.0, 10)[1]) == 0


def test_an_empty_map() -> None:
    corners, scores = decode_map(blank(), 0.4, 10)
    assert (corners.shape, scores.shape) == ((0, 4, 2), (0,))


def test_it_agrees_with_pooling() -> None:
    torch = pytest.importorskip("torch")
    found = np.random.default_rng(0).normal(0, 2, (9, 56, 96)).astype(np.float32)
    heat = torch.from_numpy(found[:1]).sigmoid()
    pooled = torch.nn.functional.max_pool2d(heat, 3, 1, 1)
    expected = heat[(heat == pooled) & (heat >= 0.4)].sort(descending=True).values.numpy()
    assert decode_map(found, 0.4, 10_000)[1] == pytest.approx(expected)
