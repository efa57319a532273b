"""Judging the recognizer: exact matches, negatives, what is accepted, and how long it takes."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from platestream import plates
from platestream.errors import DataError
from platestream.vision.decoding import PlateText
from platestream.vision.recognizer import Recognizer
from training import labels
from training.intervals import share
from training.recognition.crops import list_pictures, plate_folder, read_picture

_BATCH = 32


def evaluate(
    recognizer: Recognizer,
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
        Shares with their intervals, the character error rate, and every mistake.
    """
    folder = plate_folder(root)
    texts = labels.read_csv(truth) if truth else labels.from_names(list_pictures(folder)).texts
    files = [file for file in texts if (folder / file).is_file()]
    if not files:
        raise DataError(f"none of the {len(texts)} labelled files is in '{folder}'")
    read = _read(recognizer, [folder / file for file in files])
    pairs = [(file, texts[file], read[folder / file]) for file in files if folder / file in read]
    exact = [(t, r) for _, t, r in pairs if "".join(c.char for c in r.characters) == t]
    accepted = [(t, r) for _, t, r in pairs if r.accepted]
    edits = sum(plates.edit_distance(t, "".join(c.char for c in r.characters)) for _, t, r in pairs)
    result: dict[str, Any] = {
        "exact": share(len(exact), len(pairs)),
        "character_error_rate": round(edits / sum(len(t) for _, t, _ in pairs), 5),
        "accepted": share(len(accepted), len(pairs)),
        "accepted_right": share(sum(r.text == t for t, r in accepted), len(accepted)),
        "threshold": recognizer.threshold,
        "missing": len(texts) - len(files),
        "unreadable_files": len(files) - len(pairs),
    }
    if (root / "Negative").is_dir():
        wanted = _files(negatives) if negatives else list_pictures(root / "Negative")
        empty = list(_read(recognizer, [root / "Negative" / file for file in wanted]).values())
        result["negatives_empty"] = share(sum(not r.characters for r in empty), len(empty))
        result["negatives_accepted"] = share(sum(r.accepted for r in empty), len(empty))
    result["mistakes"] = [
        {"file": file, "text": t, "read": r.text, "confidence": round(r.confidence, 4)}
        for file, t, r in pairs
        if "".join(c.char for c in r.characters) != t
    ]
    return result


def _read(recognizer: Recognizer, paths: Sequence[Path]) -> dict[Path, PlateText]:
    read: dict[Path, PlateText] = {}
    for start in range(0, len(paths), _BATCH):
        loaded = [(path, read_picture(path)) for path in paths[start : start + _BATCH]]
        good = [(path, image) for path, image in loaded if image is not None]
        texts = recognizer.predict([image for _, image in good])
        read.update({path: text for (path, _), text in zip(good, texts, strict=True)})
    return read


def _files(path: Path) -> list[str]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [row["file"] for row in csv.DictReader(file)]
    except (OSError, KeyError) as error:
        raise DataError(f"'{path}' is not a CSV with a column 'file': {error}") from error
