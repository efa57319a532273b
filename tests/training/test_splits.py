"""Splits by plate."""

from __future__ import annotations

import numpy as np

from training import splits


def test_files_of_one_plate_and_near_pictures_stay_together() -> None:
    files = [f"{i}" for i in range(60)]
    keys = {f: [int(f) // 3] for f in files}
    groups = splits.groups(files, keys, [("0", "59")])
    assert ["0", "1", "2", "57", "58", "59"] in groups
    left, right = splits.split(groups, 0.25, seed=3)
    assert sorted(left + right) == sorted(files)
    assert {int(f) // 3 for f in left}.isdisjoint({int(f) // 3 for f in right})
    assert ("0" in left) == ("59" in left)
    assert 10 <= len(right) <= 22


def test_the_seed_decides() -> None:
    groups = [[str(i)] for i in range(50)]
    assert splits.split(groups, 0.3, 1) == splits.split(groups, 0.3, 1)
    assert splits.split(groups, 0.3, 1) != splits.split(groups, 0.3, 2)


def test_near_equal_pictures_are_found() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (64, 200, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    noisy = np.clip(picture.astype(int) + rng.integers(-4, 5, picture.shape), 0, 255)
    other = rng.integers(0, 255, picture.shape, dtype=np.uint8)
    hashes = {
        name: splits.difference_hash(p.astype(np.uint8))
        for name, p in (("a", picture), ("b", noisy), ("c", other))
    }
    assert splits.near_pairs(hashes) == [("a", "b")]
