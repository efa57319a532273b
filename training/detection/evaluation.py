"""Judging the detector: recall and precision on photographs, and how long it takes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from platestream.errors import DataError
from platestream.vision.detector import Detector
from training.detection.metrics import judge, recall_and_precision
from training.detection.photos import list_photos, read_boxes, read_photo
from training.intervals import share


def evaluate(
    detector: Detector, root: Path, truth: Path | None, *, latency: bool = False
) -> dict[str, Any]:
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
    if latency:
        result["latency"] = measure_latency(detector)
    return {**result, "mistakes": mistakes}


def measure_latency(detector: Detector, rounds: int = 30) -> dict[str, float]:
    """Median time on one core for a 1280x720 picture, scaling and peaks included, in ms."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        frame = np.random.default_rng(0).integers(0, 255, (720, 1280, 3), dtype=np.uint8)
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            detector.detect(frame)
            times.append(1000 * (time.perf_counter() - began))
        return {"frame_720p_ms": round(float(np.median(times[rounds // 5 :])), 2)}
    finally:
        torch.set_num_threads(threads)
