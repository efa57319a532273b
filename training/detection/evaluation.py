"""Judging the detector: recall and precision on photographs, and how long it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from platestream.errors import DataError
from platestream.vision.detector import Detector
from training.detection.metrics import judge, recall_and_precision
from training.detection.photos import list_photos, read_boxes, read_photo
from training.intervals import share


def evaluate(detector: Detector, root: Path, truth: Path | None) -> dict[str, Any]:
    """Judges on photographs with boxed plates, at an overlap (IoU) of 0.5.

    Args:
        root: A folder with ``images`` and ``labels`` (YOLO text).
        truth: A CSV of checked boxes (``file,x1,y1,x2,y2``); it says which photographs to take.
            Without it all are, with the boxes of their labels.

    Returns:
        Recall and precision with their intervals, and the photographs with a miss or a false
        alarm.
    """
    boxes = read_boxes(truth) if truth else None
    files = sorted(boxes) if boxes is not None else list_photos(root)
    judged, mistakes, missing = [], [], 0
    for file in files:
        photo = read_photo(root, file)
        if photo is None:
            missing += 1
            continue
        true = boxes[file] if boxes is not None else photo.boxes
        found = detector.detect(photo.image)
        one = judge(
            np.array([d.box for d in found], np.float32).reshape(-1, 4),
            [d.score for d in found],
            true,
        )
        judged.append(one)
        missed, false = one.plates - sum(one.hits), len(one.hits) - sum(one.hits)
        if missed or false:
            mistakes.append({"file": file, "missed": missed, "false": false})
    if not judged:
        raise DataError(f"none of the {len(files)} photographs is in '{root / 'images'}'")
    hits, detections, plates = recall_and_precision(judged, 0.0)
    result: dict[str, Any] = {
        "photographs": len(judged),
        "missing": missing,
        "recall": share(hits, plates),
        "precision": share(hits, detections),
        "score_threshold": detector.score_threshold,
    }
    return {**result, "mistakes": mistakes}
