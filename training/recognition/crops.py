"""Plate crops on disk as training data: which files, which texts, which side of the split."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from platestream import picture_file
from platestream.errors import DataError, SourceError
from platestream.picture_file import KINDS, is_picture
from platestream.plates import PlateFormats
from training import labels, splits, tables

Image = npt.NDArray[np.uint8]

_KEPT_WIDTH = 320  # pixels; wider pictures are made smaller when they are read
_NAMED = 5  # pictures that cannot be read, in one message
_STACK_ASPECT = 2.6  # a crop less wide than this may show two lines; see platestream.vision.reader
_PHOTO_COLUMNS = ("file", "x1", "y1", "x2", "y2", "text", "readable", "lines")
_CONTEXT = (0.35, 0.7)  # of a box's width and height: how much round it is kept


@dataclass(frozen=True)
class Crop:
    """A picture of a plate, or of none: ``text`` is then empty.

    Attributes:
        box: Where the plate is in a larger picture: x1, y1, x2, y2 in pixels; None if the
            picture is the crop.
        lines: Lines of text on the plate, 1 or 2.
    """

    path: Path
    text: str
    box: tuple[float, float, float, float] | None = None
    lines: int = 1


def list_pictures(folder: Path) -> list[str]:
    """Names of the picture files in a folder, sorted.

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
    files = sorted(f.name for f in folder.iterdir() if is_picture(f))
    if not files:
        raise DataError(f"'{folder}' holds no picture ({KINDS})")
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


def read_crop(crop: Crop) -> tuple[Image, tuple[float, float, float, float]]:
    """Reads a crop with what lies round it.

    Returns:
        HxWx3 uint8 BGR, the plate at most 320 px wide, and the crop's box in it.

    Raises:
        SourceError: It cannot be read, or the box lies outside the picture.
    """
    image = picture_file.read_picture(crop.path)
    if crop.box is None:
        whole = _narrowed(image)
        return whole, (0.0, 0.0, *whole.shape[1::-1])
    x1, y1, x2, y2 = crop.box
    dx, dy = _CONTEXT[0] * (x2 - x1), _CONTEXT[1] * (y2 - y1)
    left, top = max(0, int(x1 - dx)), max(0, int(y1 - dy))
    part = image[top : int(y2 + dy) + 1, left : int(x2 + dx) + 1]
    if not part.size:
        raise SourceError(f"'{crop.path}' ends before {crop.box}")
    scale = min(1.0, _KEPT_WIDTH / max(1.0, x2 - x1))
    if scale < 1:
        part = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(
            np.uint8, copy=False
        )
    box = ((x1 - left) * scale, (y1 - top) * scale, (x2 - left) * scale, (y2 - top) * scale)
    return part, box


def read_picture(path: Path) -> Image | None:
    """Reads a picture as HxWx3 uint8 BGR, at most 320 px wide; None if it cannot be read."""
    try:
        return _narrowed(picture_file.read_picture(path))
    except SourceError:
        return None


def none_readable(errors: Sequence[str]) -> str:
    """What to say where no picture can be read, from what is said of each."""
    more = f"; and {len(errors) - _NAMED} more" if len(errors) > _NAMED else ""
    return f"no picture can be read: {'; '.join(errors[:_NAMED])}{more}"


def _narrowed(image: Image) -> Image:
    if image.shape[1] > _KEPT_WIDTH:
        height = max(8, round(image.shape[0] * _KEPT_WIDTH / image.shape[1]))
        image = cv2.resize(image, (_KEPT_WIDTH, height), interpolation=cv2.INTER_AREA).astype(
            np.uint8, copy=False
        )
    return image


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
    corrections: Mapping[str, str] | None = None,
    valid_share: float = 0.08,
    seed: int = 0,
) -> CropData:
    """Labels a folder's crops and splits them by plate.

    Args:
        root: An unpacked CropNumbers (``NumBase`` and ``Negative``), or a folder of crops.
        second: Another reading of some files; only those on which it agrees are trained on.
        held_out: Files kept for judging; every file of their groups is left out altogether.
        held_out_negatives: The same for ``Negative``.
        corrections: Texts that take the place of the others' (see ``cleaning``); empty ones leave
            a file out.
        valid_share: How much of the rest watches over the training.
    """
    folder = plate_folder(root)
    files = list_pictures(folder)
    named = labels.from_names(files, second)
    corrected = corrections or {}
    texts = {file: text for file, text in (named.texts | dict(corrected)).items() if text}
    unlabelled = {f: why for f, why in named.unlabelled.items() if f not in corrected}
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
    return CropData(train_crops, valid_crops, len(files) - kept, unlabelled)


def gather_labelled(
    folder: Path,
    texts: Path | None,
    formats: PlateFormats,
    *,
    valid_share: float = 0.08,
    seed: int = 0,
) -> CropData:
    """Takes a folder of crops with the texts that a CSV or their names say, and splits them.

    Args:
        texts: A CSV with columns ``file,text``; every file must be there. An empty text says that
            there is no plate. Without it the names count; see ``labels.from_plain_names``.
        formats: What the plates may carry. A crop is of two lines where its text fits such a
            format and it is not wide enough for one line.
        valid_share: How much watches over the training; files that share a text or nearly a
            picture lie on one side.

    Raises:
        DataError: The folder holds no picture, or none with a text; or a row of the CSV does not
            hold.
    """
    if texts is not None:
        named = labels.Labels(labels.read_csv(texts, alphabet=formats.alphabet, folder=folder))
    else:
        named = labels.from_plain_names(list_pictures(folder), formats)
    if not any(named.texts.values()):
        raise DataError(f"no picture in '{texts or folder}' has a text")
    keys = {file: [text or file] for file, text in named.texts.items()}
    near = splits.near_pairs(splits.hash_files(folder, keys))
    parts = splits.split(splits.groups(keys, keys, near), valid_share, seed)
    train, valid = ([_crop(folder / f, named.texts[f], formats) for f in part] for part in parts)
    return CropData(train, valid, 0, named.unlabelled)


def _crop(path: Path, text: str, formats: PlateFormats) -> Crop:
    if formats.format_of(text, 2) is None:
        return Crop(path, text)
    image = read_picture(path)
    square = image is not None and image.shape[1] < _STACK_ASPECT * image.shape[0]
    return Crop(path, text, lines=2 if square else 1)


def gather_photos(
    root: Path, texts: Path, left_out: Iterable[str], *, valid_share: float = 0.08, seed: int = 0
) -> tuple[list[Crop], list[Crop]]:
    """Plates in street photographs whose texts were read by eye, split by photograph and plate.

    Args:
        root: A folder with ``images``.
        texts: A CSV with columns ``file,x1,y1,x2,y2,text,readable,lines``; see ``photo_crops``.
        left_out: Photographs kept for judging.

    Returns:
        Crops to train on, and crops to watch.

    Raises:
        DataError: There is no such folder; or see ``photo_crops``.
    """
    if not (root / "images").is_dir():
        raise DataError(f"'{root}' needs a folder 'images', with the photographs")
    apart = set(left_out)
    crops = [crop for crop in photo_crops(root, texts) if crop.path.name not in apart]
    names = {str(index): crop for index, crop in enumerate(crops)}
    keys = {index: [crop.path.name, crop.text] for index, crop in names.items()}
    left, right = splits.split(splits.groups(names, keys), valid_share, seed)
    return [names[i] for i in left], [names[i] for i in right]


def photo_crops(root: Path, texts: Path, alphabet: str | None = None) -> list[Crop]:
    """The readable plates of a CSV with columns ``file,x1,y1,x2,y2,text,readable,lines``.

    Blanks and dashes in texts do not count.

    Args:
        alphabet: Where given, texts may have no other characters.

    Raises:
        DataError: The CSV is missing or lacks a column, or a row of it makes no sense.
    """
    crops = []
    for line, row in tables.whole_rows(texts, _PHOTO_COLUMNS):
        try:
            if row["readable"] not in ("0", "1"):
                raise ValueError(f"'readable' is 1 or 0, not '{row['readable']}'")
            if row["readable"] == "1":
                crops.append(_photo_crop(root, row, alphabet))
        except ValueError as error:
            raise DataError(f"'{texts}' line {line}: {error}") from error
    return crops


def _photo_crop(root: Path, row: Mapping[str, str], alphabet: str | None) -> Crop:
    """A readable plate.

    Raises:
        ValueError: It is none.
    """
    x1, y1, x2, y2 = (float(row[key]) for key in ("x1", "y1", "x2", "y2"))
    if not (-math.inf < x1 < x2 < math.inf and -math.inf < y1 < y2 < math.inf):
        raise ValueError(f"x1, y1, x2, y2 are {x1:g}, {y1:g}, {x2:g}, {y2:g}, which is no box")
    if row["lines"] not in ("1", "2"):
        raise ValueError(f"'lines' is 1 or 2, not '{row['lines']}'")
    text = labels.plain(row["text"])
    if not text:
        raise ValueError("it is readable, but has no text")
    strange = next((char for char in text if alphabet is not None and char not in alphabet), "")
    if strange:
        raise ValueError(f"'{text}' has '{strange}', which is not in the alphabet '{alphabet}'")
    return Crop(root / "images" / row["file"], text, (x1, y1, x2, y2), int(row["lines"]))
