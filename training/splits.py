"""Splits by plate: no plate, and no picture that is nearly another, lies on both sides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

_HASH_SIDE = 16
_NEAR_BITS = 24  # of 256; different plates differ in some 90, re-encodings in fewer than 15


def difference_hash(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """A picture's difference hash: which of 16x17 grey cells is brighter than the one before.

    Args:
        image: HxW or HxWx3 uint8.
    """
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (_HASH_SIDE + 1, _HASH_SIDE), interpolation=cv2.INTER_AREA)
    return (small[:, 1:] > small[:, :-1]).ravel()


def near_pairs(
    hashes: Mapping[str, npt.NDArray[np.bool_]], bits: int = _NEAR_BITS
) -> list[tuple[str, str]]:
    """Pairs of files whose hashes differ in at most ``bits``."""
    files = list(hashes)
    if not files:
        return []
    packed = np.stack([hashes[file] for file in files]).astype(np.float32)
    ones = packed.sum(1)
    differ = ones[:, None] + ones[None, :] - 2 * packed @ packed.T
    rows, columns = np.nonzero(np.triu(differ <= bits, 1))
    return [(files[i], files[j]) for i, j in zip(rows, columns, strict=True)]


def groups(
    files: Iterable[str],
    keys: Mapping[str, Iterable[Hashable]],
    pairs: Iterable[tuple[str, str]] = (),
) -> list[list[str]]:
    """Groups files that share a key (a plate's text) or are a pair (near-equal pictures).

    Returns:
        Groups in the order of their first file's name, each sorted.
    """
    parent = {file: file for file in files}

    def root(file: str) -> str:
        while parent[file] != file:
            parent[file] = parent[parent[file]]
            file = parent[file]
        return file

    first: dict[Hashable, str] = {}
    links = list(pairs)
    for file in parent:
        for key in keys.get(file, ()):
            links.append((first.setdefault(key, file), file))
    for a, b in links:
        if a in parent and b in parent:
            parent[root(a)] = root(b)
    members: dict[str, list[str]] = defaultdict(list)
    for file in sorted(parent):
        members[root(file)].append(file)
    return sorted(members.values())


def split(grouped: list[list[str]], share: float, seed: int) -> tuple[list[str], list[str]]:
    """Draws whole groups until about ``share`` of the files are in the second part."""
    order = np.random.default_rng(seed).permutation(len(grouped))
    wanted = share * sum(map(len, grouped))
    kept: list[str] = []
    drawn: list[str] = []
    for index in order:
        (drawn if len(drawn) < wanted else kept).extend(grouped[index])
    return sorted(kept), sorted(drawn)


def hash_files(folder: Path, files: Iterable[str]) -> dict[str, npt.NDArray[np.bool_]]:
    """Difference hashes of picture files; unreadable ones are left out."""
    hashes = {}
    for file in files:
        image = cv2.imread(str(folder / file), cv2.IMREAD_GRAYSCALE)
        if image is not None:
            hashes[file] = difference_hash(image)
    return hashes
