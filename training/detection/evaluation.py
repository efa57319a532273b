"""Judging the detector: recall and precision on photographs, and how long it takes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from platestream.errors import DataError
from platestream.vision.detector import Detection, Image
from platestream.vision.reader import PlateReader
from training.detection.metrics import Judged, judge, recall_and_precision
from training.detection.photos import (
    Photo,
    Truth,
    correct,
    list_photos,
    read_corrections,
    read_files,
    read_photo,
    read_truth,
)
from training.intervals import share
from training.recognition.crops import list_pictures

_WIDTHS = (0, 30, 60, 120, 240, 100_000)  # pixels of a plate in a picture 1000 px wide


Find = Callable[[Image], list[Detection]]


def as_read(reader: PlateReader) -> Find:
    """The plates that a reader gives: its recognizer has a say in what is one."""
    return lambda image: [plate.detection for plate in reader.read([image])[0]]


def evaluate(
    find: Find,
    root: Path,
    truth: Path | None,
    corrections: Path | None = None,
    empty: Path | None = None,
    which: Path | None = None,
) -> dict[str, Any]:
    """Judges on photographs with boxed plates, at an overlap (IoU) of 0.5.

    Args:
        find: Gives a picture's plates, the surest first.
        root: A folder with ``images`` and ``labels`` (YOLO text).
        truth: A CSV of checked boxes (``file,x1,y1,x2,y2``, and ``ignore``); it says which
            photographs to take. Without it all are, with the boxes of their labels.
        corrections: A CSV of what the labels have wrong (``file,x1,y1,x2,y2,action``).
        empty: A folder of pictures without a plate.
        which: A CSV with a column ``file``: of ``empty``, only these.

    Returns:
        Recall and precision with their intervals, recall by the plates' width in a picture
        1000 px wide, and the photographs with a miss or a false alarm. Plates to ignore count
        neither way there; ``recall_of_all`` and ``precision_of_all`` count them like the others.
        ``empty``: pictures without a plate in which one is seen.
    """
    checked = read_truth(truth) if truth else None
    corrected = read_corrections(corrections) if corrections else {}
    files = sorted(checked) if checked is not None else list_photos(root)
    judged: list[Judged] = []
    of_all: list[Judged] = []
    mistakes: list[dict[str, Any]] = []
    widths: list[float] = []
    for file in files:
        photo = read_photo(root, file)
        if photo is None:
            continue
        photo = correct(photo, corrected.get(file, ()))
        known = checked[file] if checked is not None else Truth(photo.boxes, photo.ignore)
        one, with_ignored = _judge(find, photo, known)
        judged.append(one)
        of_all.append(with_ignored)
        widths += [float(b[2] - b[0]) * 1000 / photo.image.shape[1] for b in known.boxes]
        missed, false = one.plates - sum(one.hits), len(one.hits) - sum(one.hits)
        if missed or false:
            mistakes.append({"file": file, "missed": missed, "false": false})
    if not judged:
        raise DataError(f"none of the {len(files)} photographs is in '{root / 'images'}'")
    hits, detections, plates = recall_and_precision(judged, 0.0)
    all_hits, all_detections, all_plates = recall_and_precision(of_all, 0.0)
    seen = np.array([score > 0 for one in judged for score in one.found_at], bool)
    result: dict[str, Any] = {
        "photographs": len(judged),
        "missing": len(files) - len(judged),
        "recall": share(hits, plates),
        "precision": share(hits, detections),
        "recall_of_all": share(all_hits, all_plates),
        "precision_of_all": share(all_hits, all_detections),
    }
    for low, high in pairwise(_WIDTHS):
        of = (np.array(widths) >= low) & (np.array(widths) < high)
        if of.any():
            result[f"recall_from_{low}_px"] = share(int(seen[of].sum()), int(of.sum()))
    if empty:
        result["empty"] = _false_alarms(find, empty, which)
    return {**result, "mistakes": mistakes}


def _judge(find: Find, photo: Photo, known: Truth) -> tuple[Judged, Judged]:
    found = find(photo.image)
    boxes = np.array([d.box_in(photo.image) for d in found], np.float32).reshape(-1, 4)
    scores = [d.score for d in found]
    everything = np.concatenate([known.boxes, known.ignore])
    return judge(boxes, scores, known.boxes, known.ignore), judge(boxes, scores, everything)


def _false_alarms(find: Find, folder: Path, which: Path | None) -> dict[str, object]:
    files = list_pictures(folder)
    if which:
        wanted = set(read_files(which))
        files = [file for file in files if file in wanted]
    pictures = [cv2.imread(str(folder / file)) for file in files]
    read = [picture.astype(np.uint8) for picture in pictures if picture is not None]
    return share(sum(bool(find(picture)) for picture in read), len(read))
