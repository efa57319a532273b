"""Street photographs with boxed plates: reading them, and keeping the judged ones apart."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from platestream.errors import DataError
from training import splits

Image = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float32]

_NEAR_BITS = 50  # of 256; shots of one scene, a little apart


@dataclass(frozen=True, eq=False)
class Photo:
    """A photograph and its plates: ``boxes`` Nx4 float32, x1, y1, x2, y2 in pixels of it."""

    path: Path
    image: Image
    boxes: Boxes


def list_photos(root: Path) -> list[str]:
    """Names of the photographs in ``root/images`` that have a file in ``root/labels``.

    Raises:
        DataError: There is no such folder, or nothing in it.
    """
    images = root / "images"
    if not images.is_dir() or not (root / "labels").is_dir():
        raise DataError(f"'{root}' needs folders 'images' and 'labels' (YOLO text)")
    files = sorted(
        f.name for f in images.iterdir() if (root / "labels" / f"{f.stem}.txt").is_file()
    )
    if not files:
        raise DataError(f"'{root}' holds no labelled photograph")
    return files


def read_photo(root: Path, file: str, long_side: int | None = None) -> Photo | None:
    """Reads a photograph and its boxes; None if it cannot be read.

    Args:
        long_side: Makes a larger picture smaller, to so many pixels.
    """
    path = root / "images" / file
    image = cv2.imread(str(path))
    if image is None:
        return None
    if long_side and max(image.shape[:2]) > long_side:
        scale = long_side / max(image.shape[:2])
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, width = image.shape[:2]
    rows = []
    for line in (root / "labels" / f"{path.stem}.txt").read_text().splitlines():
        if line.strip():
            _, x, y, w, h = (float(value) for value in line.split()[:5])
            rows.append([(x - w / 2) * width, (y - h / 2) * height,
                         (x + w / 2) * width, (y + h / 2) * height])  # fmt: skip
    boxes = np.array(rows, np.float32).reshape(-1, 4)
    return Photo(path, image.astype(np.uint8), boxes)


def without_near(root: Path, files: Sequence[str], apart: Iterable[str]) -> list[str]:
    """The files that are neither among those kept apart nor nearly equal to one of them."""
    apart = set(apart)
    pairs = splits.near_pairs(splits.hash_files(root / "images", files), _NEAR_BITS)
    groups = splits.groups(files, {}, pairs)
    return sorted(f for group in groups if not apart.intersection(group) for f in group)


def read_boxes(path: Path) -> dict[str, Boxes]:
    """Checked boxes by file from a CSV with columns ``file,x1,y1,x2,y2`` in pixels.

    A file without plates has one row with empty numbers.

    Raises:
        DataError: The file is missing, or has no such columns.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        found: dict[str, list[list[float]]] = {}
        for row in rows:
            boxes = found.setdefault(row["file"], [])
            if row["x1"]:
                boxes.append([float(row[key]) for key in ("x1", "y1", "x2", "y2")])
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror}") from error
    except (KeyError, ValueError) as error:
        raise DataError(f"'{path}' needs columns file, x1, y1, x2, y2: {error}") from error
    return {file: np.array(boxes, np.float32).reshape(-1, 4) for file, boxes in found.items()}
