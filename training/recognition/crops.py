"""Plate crops on disk as training data: which files, which texts, which side of the split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from platestream.errors import DataError
from training import labels, splits

Image = npt.NDArray[np.uint8]

ENDINGS = {".bmp", ".jpg", ".jpeg", ".png"}
_KEPT_WIDTH = 320  # pixels; wider pictures are made smaller when they are read


@dataclass(frozen=True)
class Crop:
    """A picture of a plate, or of none: ``text`` is then empty."""

    path: Path
    text: str


def list_pictures(folder: Path) -> list[str]:
    """Names of the BMP, JPEG and PNG files in a folder, sorted.

    Raises:
        DataError: The folder is not there, or is an archive, or holds no picture.
    """
    if folder.suffix.lower() == ".rar":
        raise DataError(
            f"'{folder}' is an archive; unpack it first (unar '{folder.name}', or "
            f"unrar x '{folder.name}') and name the folder that comes out of it"
        )
    if not folder.is_dir():
        raise DataError(f"no such folder: '{folder}'")
    files = sorted(f.name for f in folder.iterdir() if f.suffix.lower() in ENDINGS)
    if not files:
        raise DataError(f"'{folder}' holds no BMP, JPEG or PNG picture")
    return files


def plate_folder(root: Path) -> Path:
    """The folder with the plates: ``NumBase`` of an unpacked CropNumbers, or the folder itself."""
    return root / "NumBase" if (root / "NumBase").is_dir() else root


def grouped(folder: Path, files: Iterable[str], second: dict[str, str]) -> list[list[str]]:
    """Groups files that may show the same plate: by name, by second reading, by looks."""
    keys: dict[str, set[str]] = {}
    for file in files:
        name = labels.parse_name(file)
        keys[file] = {name.base if name else file}
        if len(second.get(file, "")) >= 6:
            keys[file].add(second[file][:6])
    return splits.groups(keys, keys, splits.near_pairs(splits.hash_files(folder, keys)))


def read_picture(path: Path) -> Image | None:
    """Reads a picture as HxWx3 uint8 BGR, at most 320 px wide; None if it cannot be read."""
    data = np.fromfile(path, np.uint8) if path.stat().st_size else np.zeros(0, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        return None
    if image.shape[1] > _KEPT_WIDTH:
        height = max(8, round(image.shape[0] * _KEPT_WIDTH / image.shape[1]))
        image = cv2.resize(image, (_KEPT_WIDTH, height), interpolation=cv2.INTER_AREA)
    return image.astype(np.uint8)


@dataclass(frozen=True)
class CropData:
    """What a folder of crops gives: two sides, and what was left out and why."""

    train: list[Crop]
    valid: list[Crop]
    held_out: int
    unlabelled: dict[str, str]


def gather(
    root: Path,
    second: dict[str, str],
    held_out: Iterable[str],
    held_out_negatives: Iterable[str],
    *,
    confirmed: Mapping[str, str] | None = None,
    valid_share: float = 0.08,
    seed: int = 0,
) -> CropData:
    """Labels a folder's crops and splits them by plate.

    Args:
        root: An unpacked CropNumbers (``NumBase`` and ``Negative``), or a folder of crops.
        second: Another reading of some files; only those on which it agrees are trained on.
        held_out: Files kept for judging; every file of their groups is left out altogether.
        held_out_negatives: The same for ``Negative``.
        confirmed: Texts that take the place of all others (see ``confirmation``); empty ones
            leave a file out.
        valid_share: How much of the rest watches over the training.
    """
    folder = plate_folder(root)
    files = list_pictures(folder)
    named = labels.from_names(files, second)
    texts = named.texts if confirmed is None else {f: t for f, t in confirmed.items() if t}
    apart = set(held_out)
    groups = [g for g in grouped(folder, files, second) if not apart.intersection(g)]
    kept = sum(map(len, groups))
    train, valid = splits.split(groups, valid_share, seed)

    def crops(part: list[str]) -> list[Crop]:
        return [Crop(folder / file, texts[file]) for file in part if file in texts]

    train_crops, valid_crops = crops(train), crops(valid)
    negatives = root / "Negative"
    if negatives.is_dir():
        empty = [f for f in list_pictures(negatives) if f not in set(held_out_negatives)]
        pairs = splits.near_pairs(splits.hash_files(negatives, empty))
        left, right = splits.split(splits.groups(empty, {}, pairs), valid_share, seed)
        train_crops += [Crop(negatives / file, "") for file in left]
        valid_crops += [Crop(negatives / file, "") for file in right]
    return CropData(train_crops, valid_crops, len(files) - kept, named.unlabelled)
