"""Assignment: never worse than the best of all pairings."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from platestream.vision.assignment import assign

LIMIT = 5.0


def least(cost: np.ndarray) -> float:
    """By trying every pairing; a row may stay alone at ``LIMIT``."""
    rows, columns = cost.shape
    choices = [*range(columns), *([-1] * rows)]
    return min(
        sum(LIMIT if c < 0 else cost[r, c] for r, c in enumerate(chosen))
        for chosen in set(permutations(choices, rows))
    )


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (3, 2), (4, 4), (3, 1)])
def test_the_total_is_least(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    for _ in range(30):
        cost = rng.uniform(-8, 10, shape)
        cost[rng.random(shape) < 0.3] = np.inf
        pairs = assign(cost, LIMIT)
        assert len({r for r, _ in pairs}) == len({c for _, c in pairs}) == len(pairs)
        total = sum(cost[pair] for pair in pairs) + LIMIT * (shape[0] - len(pairs))
        assert total == pytest.approx(least(cost))


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nothing_to_pair(shape: tuple[int, int]) -> None:
    assert assign(np.zeros(shape), LIMIT) == []


def test_what_is_impossible_is_left_alone() -> None:
    assert assign(np.full((2, 2), np.inf), LIMIT) == []
    assert assign(np.full((2, 2), LIMIT + 1), LIMIT) == []
