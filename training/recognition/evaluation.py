"""Judging the recognizer: exact matches, negatives, what is accepted, and how long it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from platestream import plates
from platestream.errors import DataError, SourceError
from platestream.picture_file import Image, read_picture
from platestream.plates import PlateFormats
from platestream.vision.crop_reader import CropReader
from platestream.vision.decoding import PlateText
from platestream.vision.geometry import Box, bounding_box
from platestream.vision.recognizer import Recognizer
from training import labels, tables
from training.intervals import share
from training.recognition.acceptance import cross_fitted
from training.recognition.crops import (
    list_pictures,
    none_readable,
    photo_crops,
    plate_folder,
)
from training.recognition.reliability import expected_calibration_error, risk_coverage
from training.spoiling import WAYS

_BATCH = 32


def evaluate(
    recognizer: Recognizer | CropReader,
    root: Path,
    truth: Path | None,
    negatives: Path | None,
) -> dict[str, Any]:
    """Judges on crops with known texts, and on pictures without a plate.

    Args:
        root: An unpacked CropNumbers (``NumBase`` and ``Negative``), or a folder of crops.
        truth: A CSV of checked texts; without it file names are taken as they are.
        negatives: A CSV with the column ``file``: which of ``Negative`` to take; all without it.

    Returns:
        Shares with their intervals, the character error rate, every file that cannot be read (it
        does not count), and every mistake. ``exact`` is the text as it is given, with ``?`` for
        characters that are not shown; ``exact_guessed`` the same with the best guess for every
        character, and so is the error rate; ``exact_unconstrained`` the likeliest
        text, whatever plates may carry; ``cross_fitted_…`` what is accepted where the threshold
        comes from other plates.

    Raises:
        DataError: See ``true_texts`` and ``read_pairs``; or the pictures without a plate are not
            there.
    """
    folder = plate_folder(root)
    texts = true_texts(folder, truth, recognizer.formats)
    pairs, unreadable = read_pairs(recognizer, folder, texts)
    confidences, right = judged(pairs)
    result: dict[str, Any] = {
        **_shares(pairs),
        "formats": dict(Counter(r.format or "none" for _, _, r in pairs).most_common()),
        "threshold": recognizer.threshold,
        "calibration_error": _rounded(expected_calibration_error(confidences, right)),
        "risk_coverage": risk_coverage(confidences, right, len(pairs)),
        **{f"cross_fitted_{name}": value for name, value in cross_fitted(pairs).items()},
    }
    if (root / "Negative").is_dir():
        empty_folder = root / "Negative"
        wanted = _files(negatives, empty_folder) if negatives else list_pictures(empty_folder)
        read, more = _read(recognizer, [empty_folder / file for file in wanted])
        empty, unreadable = list(read.values()), unreadable + more
        result["negatives_empty"] = share(sum(not r.characters for r in empty), len(empty))
        result["negatives_accepted"] = share(sum(r.accepted for r in empty), len(empty))
    result["unreadable_files"] = [{"error": error} for error in unreadable]
    result["mistakes"] = _mistakes(pairs)
    return result


def evaluate_photos(recognizer: Recognizer | CropReader, root: Path, texts: Path) -> dict[str, Any]:
    """Judges on plates cut out of street photographs, each along its box.

    Args:
        root: A folder with ``images``.
        texts: A CSV with columns ``file,x1,y1,x2,y2,text,readable,lines``.

    Returns:
        Shares and mistakes as ``evaluate`` gives them, their names begun with ``photos_``.

    Raises:
        DataError: See ``photo_crops``; or a box lies outside its photograph.
        SourceError: A photograph cannot be read.
    """
    pairs = []
    crops = photo_crops(root, texts, recognizer.formats.alphabet)
    if not crops:
        raise DataError(f"'{texts}' has no plate that can be read")
    for crop in crops:
        image = read_picture(crop.path)
        assert crop.box is not None
        (read,) = recognizer.predict([_cut(image, crop.box, crop.path)])
        pairs.append((crop.path.name, crop.text, read))
    judgement = {**_shares(pairs), "mistakes": _mistakes(pairs)}
    return {f"photos_{name}": value for name, value in judgement.items()}


def evaluate_spoiled_photos(
    recognizer: Recognizer | CropReader, root: Path, texts: Path
) -> dict[str, Any]:
    """Judges on the same plates in photographs as bad days and places would have made them.

    Each is cut along the upright box round where its own box has moved to.

    Args:
        root, texts: As ``evaluate_photos`` takes them.

    Returns:
        ``photos_spoiled``: rows with the ``way`` (see ``spoiling``) and shares.

    Raises:
        DataError, SourceError: As ``evaluate_photos``.
    """
    crops = photo_crops(root, texts, recognizer.formats.alphabet)
    rows = []
    for name, spoil in WAYS.items():
        rng = np.random.default_rng(0)
        pairs = []
        for crop in crops:
            assert crop.box is not None
            spoiled, matrix = spoil(read_picture(crop.path), crop.box, rng)
            x1, y1, x2, y2 = crop.box
            corners = np.array([[[x1, y1], [x2, y1], [x2, y2], [x1, y2]]], np.float64)
            (moved,) = cv2.perspectiveTransform(corners, matrix)
            (read,) = recognizer.predict([_cut(spoiled, bounding_box(moved), crop.path)])
            pairs.append((crop.path.name, crop.text, read))
        shares = _shares(pairs)
        told = ("exact", "exact_guessed", "accepted", "accepted_right")
        rows.append({"way": name, **{key: shares[key] for key in told}})
    return {"photos_spoiled": rows}


def _cut(image: Image, box: Box, path: Path) -> Image:
    """What a photograph shows of a box.

    Raises:
        DataError: Nothing.
    """
    x1, y1, x2, y2 = (max(0, round(v)) for v in box)
    if not image[y1:y2, x1:x2].size:
        raise DataError(f"'{path}' ends before {box}")
    return np.ascontiguousarray(image[y1:y2, x1:x2])


def _shares(pairs: Sequence[tuple[str, str, PlateText]]) -> dict[str, Any]:
    accepted = [(t, r) for _, t, r in pairs if r.accepted]
    edits = sum(plates.edit_distance(t, r.guess) for _, t, r in pairs)
    characters = sum(len(t) for _, t, _ in pairs)
    return {
        "exact": share(sum(r.text == t for _, t, r in pairs), len(pairs)),
        "exact_guessed": share(sum(r.guess == t for _, t, r in pairs), len(pairs)),
        "exact_unconstrained": share(sum(r.raw == t for _, t, r in pairs), len(pairs)),
        "character_error_rate": round(edits / characters, 5) if characters else None,
        "accepted": share(len(accepted), len(pairs)),
        "accepted_right": share(sum(r.text == t for t, r in accepted), len(accepted)),
    }


def _mistakes(pairs: Sequence[tuple[str, str, PlateText]]) -> list[dict[str, Any]]:
    return [
        {
            "file": file,
            "text": t,
            "read": r.text,
            "unconstrained": r.raw,
            "confidence": round(r.confidence, 4),
        }
        for file, t, r in pairs
        if r.text != t
    ]


def true_texts(folder: Path, truth: Path | None, formats: PlateFormats) -> dict[str, str]:
    """Texts by file: of a CSV whose rows must hold, or of the file names.

    Args:
        formats: What plates may carry; where they are not those built in, names are plain.

    Raises:
        DataError: A row of the CSV has a character that no plate carries, or a file that is not
            there; or there is nothing at all.
    """
    if truth is not None:
        texts = labels.read_csv(truth, alphabet=formats.alphabet, folder=folder)
    elif formats is plates.shipped():
        texts = labels.from_names(list_pictures(folder)).texts
    else:
        texts = labels.from_plain_names(list_pictures(folder), formats).texts
    if not texts:
        raise DataError(f"no file in '{truth or folder}' has a text")
    return texts


def read_pairs(
    recognizer: Recognizer | CropReader, folder: Path, texts: dict[str, str]
) -> tuple[list[tuple[str, str, PlateText]], list[str]]:
    """Files with their true texts and what is read; and why the others cannot be read.

    Raises:
        DataError: None of them can be read.
    """
    read, unreadable = _read(recognizer, [folder / file for file in texts])
    if not read:
        raise DataError(none_readable(unreadable))
    return [(f, texts[f], read[folder / f]) for f in texts if folder / f in read], unreadable


def judged(pairs: Sequence[tuple[str, str, PlateText]]) -> tuple[list[float], list[bool]]:
    """Confidences of the readings that may be accepted, and whether each is right."""
    fitting = [(text, read) for _, text, read in pairs if read.format is not None]
    return [r.confidence for _, r in fitting], [r.guess == t for t, r in fitting]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _read(
    recognizer: Recognizer | CropReader, paths: Sequence[Path]
) -> tuple[dict[Path, PlateText], list[str]]:
    """What is read of crops as ``recognize`` sees them; and why the others cannot be read."""
    read: dict[Path, PlateText] = {}
    unreadable: list[str] = []
    for start in range(0, len(paths), _BATCH):
        good: dict[Path, Image] = {}
        for path in paths[start : start + _BATCH]:
            try:
                good[path] = read_picture(path)
            except SourceError as error:
                unreadable.append(str(error))
        texts = recognizer.predict(list(good.values()))
        read.update(zip(good, texts, strict=True))
    return read, unreadable


def _files(path: Path, folder: Path) -> list[str]:
    """The column ``file`` of a CSV.

    Raises:
        DataError: There is none, or it names no file, or one that is not in the folder.
    """
    names = []
    for line, row in tables.whole_rows(path, ["file"]):
        if not (folder / row["file"]).is_file():
            raise DataError(f"'{path}' line {line}: '{row['file']}' is not in '{folder}'")
        names.append(row["file"])
    if not names:
        raise DataError(f"'{path}' names no file")
    return names
