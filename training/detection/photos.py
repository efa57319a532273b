"""Street photographs with boxed plates: reading them, and keeping the judged ones apart."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from platestream.errors import DataError
from platestream.vision.geometry import box_iou
from training import splits
from training.tables import whole_rows

Image = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float32]
Quads = npt.NDArray[np.float32]

CORNER_COLUMNS = [f"{axis}{i}" for i in (1, 2, 3, 4) for axis in "xy"]
_BOX = ("x1", "y1", "x2", "y2")
ACTIONS = ("add", "remove", "ignore", "negative")
_SAME = 0.7  # intersection over union with which a correction means a published box
_NEAR_BITS = 50  # of 256; shots of one scene, a little apart


def _none() -> Boxes:
    return np.zeros((0, 4), np.float32)


@dataclass(frozen=True, eq=False)
class Photo:
    """A photograph and its plates.

    Attributes:
        image: HxWx3 uint8 BGR.
        boxes: Nx4 float32, x1, y1, x2, y2 in pixels of the image.
        ignore: Mx4, plates that nobody can read or that are too small: finding one is no false
            alarm, missing one no miss.
        negatives: Kx4, what a detector took for a plate and is none.
        corners: Nx4x2, NaN where only the box is known; None where all are.
    """

    path: Path
    image: Image
    boxes: Boxes
    ignore: Boxes = field(default_factory=_none)
    negatives: Boxes = field(default_factory=_none)
    corners: Quads | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The plates of a photograph that was looked at: those that count, and the others."""

    boxes: Boxes
    ignore: Boxes = field(default_factory=_none)


@dataclass(frozen=True, slots=True)
class Correction:
    """One thing that the published boxes of a photograph have wrong; see ``correct``."""

    box: tuple[float, float, float, float]
    action: str


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


def read_photo(root: Path, file: str) -> Photo | None:
    """Reads a photograph and its boxes; None if it cannot be read.

    Raises:
        DataError: Its labels cannot be read, or a line is no box of YOLO's.
    """
    path = root / "images" / file
    image = cv2.imread(str(path))
    if image is None:
        return None
    height, width = image.shape[:2]
    labels = root / "labels" / f"{path.stem}.txt"
    try:
        lines = labels.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read '{labels}': {error}") from error
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            x, y, w, h = _numbers(line.split()[1:5])
        except ValueError as error:
            raise DataError(
                f"'{labels}', line {number}: needs a class, then x, y, width and height in shares "
                f"of the picture: {error}"
            ) from error
        rows.append([(x - w / 2) * width, (y - h / 2) * height,
                     (x + w / 2) * width, (y + h / 2) * height])  # fmt: skip
    boxes = np.array(rows, np.float32).reshape(-1, 4)
    return Photo(path, image.astype(np.uint8), boxes)


def correct(photo: Photo, corrections: Sequence[Correction]) -> Photo:
    """Puts a photograph's boxes right.

    ``add`` adds a plate that has no box, ``remove`` takes away the published box that overlaps
    the one named, ``ignore`` marks a place where nothing is asked, ``negative`` one where a
    detector has seen a plate and is none.
    """
    boxes = photo.boxes
    listed: dict[str, list[tuple[float, float, float, float]]] = {a: [] for a in ACTIONS}
    for correction in corrections:
        listed[correction.action].append(correction.box)
    wrong = np.array(listed["remove"], np.float32).reshape(-1, 4)
    if len(boxes) and len(wrong):
        boxes = boxes[box_iou(boxes, wrong).max(1) < _SAME]
    added = np.array(listed["add"], np.float32).reshape(-1, 4)
    return replace(
        photo,
        boxes=np.concatenate([boxes, added]),
        ignore=np.array(listed["ignore"], np.float32).reshape(-1, 4),
        negatives=np.array(listed["negative"], np.float32).reshape(-1, 4),
    )


def with_corners(photo: Photo, known: Quads) -> Photo:
    """Gives each box the corners among those known whose own box is nearly it."""
    corners = np.full((len(photo.boxes), 4, 2), np.nan, np.float32)
    if len(known) and len(photo.boxes):
        around = np.concatenate([known.min(1), known.max(1)], 1)
        overlap = box_iou(photo.boxes, around)
        best = overlap.argmax(1)
        same = overlap.max(1) >= _SAME
        corners[same] = known[best[same]]
    return replace(photo, corners=corners)


def shrink(photo: Photo, long_side: int) -> Photo:
    """Makes a larger photograph smaller, to so many pixels, and all that lies on it."""
    scale = long_side / max(photo.image.shape[:2])
    if scale >= 1:
        return photo
    image = cv2.resize(photo.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    factor = np.float32(scale)
    return replace(
        photo,
        image=image.astype(np.uint8),
        boxes=photo.boxes * factor,
        ignore=photo.ignore * factor,
        negatives=photo.negatives * factor,
        corners=None if photo.corners is None else photo.corners * factor,
    )


def without_near(root: Path, files: Sequence[str], apart: Iterable[str]) -> list[str]:
    """The files that are neither among those kept apart nor nearly equal to one of them."""
    apart = set(apart)
    pairs = splits.near_pairs(splits.hash_files(root / "images", files), _NEAR_BITS)
    groups = splits.groups(files, {}, pairs)
    return sorted(f for group in groups if not apart.intersection(group) for f in group)


def read_truth(path: Path) -> dict[str, Truth]:
    """Checked boxes by file from a CSV with columns ``file,x1,y1,x2,y2`` in pixels.

    A file without plates has one row with empty numbers. A column ``ignore``, where there is
    one, holds 1 for a plate that does not count.

    Raises:
        DataError: The file is missing, or a row is not so.
    """
    boxes: dict[str, list[list[float]]] = defaultdict(list)
    ignore: dict[str, list[list[float]]] = defaultdict(list)
    files = []
    for number, row in whole_rows(path, ("file", *_BOX)):
        files.append(row["file"])
        if not row["x1"]:
            continue
        try:
            box = _box(row)
        except ValueError as error:
            raise DataError(f"'{path}', line {number}: {error}") from error
        (ignore if row.get("ignore") == "1" else boxes)[row["file"]].append(box)
    return {
        file: Truth(
            np.array(boxes[file], np.float32).reshape(-1, 4),
            np.array(ignore[file], np.float32).reshape(-1, 4),
        )
        for file in dict.fromkeys(files)
    }


def read_corrections(path: Path) -> dict[str, list[Correction]]:
    """Corrections by file from a CSV: ``file,x1,y1,x2,y2,action``; see ``correct``.

    Raises:
        DataError: The file is missing, or a row is not so.
    """
    found: dict[str, list[Correction]] = defaultdict(list)
    for number, row in whole_rows(path, ("file", *_BOX, "action")):
        try:
            x1, y1, x2, y2 = _box(row)
            if row["action"] not in ACTIONS:
                raise ValueError(f"action '{row['action']}' is none of {', '.join(ACTIONS)}")
        except ValueError as error:
            raise DataError(f"'{path}', line {number}: {error}") from error
        found[row["file"]].append(Correction((x1, y1, x2, y2), row["action"]))
    return dict(found)


def read_corners(path: Path) -> dict[str, Quads]:
    """Corners by file from a CSV: ``file,x1,y1,x2,y2,x3,y3,x4,y4``, in pixels.

    Returns:
        Nx4x2 float32: top-left, top-right, bottom-right, bottom-left of each plate.

    Raises:
        DataError: The file is missing, or a row is not so.
    """
    found: dict[str, list[list[float]]] = defaultdict(list)
    for number, row in whole_rows(path, ("file", *CORNER_COLUMNS)):
        try:
            found[row["file"]].append(_numbers([row[key] for key in CORNER_COLUMNS]))
        except ValueError as error:
            raise DataError(f"'{path}', line {number}: {error}") from error
    return {f: np.array(rows, np.float32).reshape(-1, 4, 2) for f, rows in found.items()}


def read_files(path: Path) -> list[str]:
    """The column ``file`` of a CSV.

    Raises:
        DataError: The file is missing, or has no such column.
    """
    return [row["file"] for _, row in whole_rows(path, ["file"])]


def prepare(
    root: Path,
    file: str,
    corrections: Mapping[str, Sequence[Correction]],
    corners: Mapping[str, Quads],
    long_side: int,
) -> Photo | None:
    """A photograph to train on: corrected, with the corners that are known, not too large."""
    photo = read_photo(root, file)
    if photo is None:
        return None
    photo = correct(photo, corrections.get(file, ()))
    photo = with_corners(photo, corners.get(file, np.zeros((0, 4, 2), np.float32)))
    return shrink(photo, long_side)


def _box(row: Mapping[str, str]) -> list[float]:
    """A row's box.

    Raises:
        ValueError: It is none.
    """
    x1, y1, x2, y2 = _numbers([row[key] for key in _BOX])
    if x1 >= x2 or y1 >= y2:
        raise ValueError(f"{x1:g}, {y1:g}, {x2:g}, {y2:g} is no box: x1 < x2 and y1 < y2")
    return [x1, y1, x2, y2]


def _numbers(texts: Sequence[str]) -> list[float]:
    """Numbers that a picture's places may be.

    Raises:
        ValueError: One is not.
    """
    numbers = [float(text) for text in texts]
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"{', '.join(texts)} are not all numbers")
    return numbers
