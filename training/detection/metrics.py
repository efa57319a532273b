"""How well plates are found: recall and precision at an overlap, as functions and as a callback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from catalyst import dl

from platestream.vision.geometry import bounding_box, box_iou, suppress
from platestream.vision.heatmap import decode_map
from platestream.vision.letterbox import letterbox
from training.detection.photos import Photo

Boxes = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Judged:
    """One picture's detections, the surest first, and which of them hit a plate of their own.

    Detections of plates that do not count are left out. ``found_at`` holds for each plate the
    score of the detection that hit it, 0 where none did.
    """

    scores: list[float]
    hits: list[bool]
    plates: int
    found_at: list[float]


def judge(
    found: Boxes,
    scores: Sequence[float],
    true: Boxes,
    ignore: Boxes | None = None,
    overlap: float = 0.5,
) -> Judged:
    """Matches detections to plates, the surest first; each plate can be hit once.

    Args:
        found: Nx4, sorted by falling score.
        true: Mx4.
        ignore: Kx4, plates that do not count: a detection that hits none of the others and
            overlaps one of these, or lies by half in it, is neither right nor wrong.
        overlap: The least intersection over union of a hit.
    """
    free = set(range(len(true)))
    kept, hits, found_at = [], [], [0.0] * len(true)
    shared = box_iou(found, true)
    excused = _excused(found, ignore, overlap)
    for row, score, excuse in zip(shared, scores, excused, strict=True):
        best = max(free, key=lambda j, row=row: row[j], default=None)  # type: ignore[misc]
        if best is not None and row[best] >= overlap:
            free.discard(best)
            found_at[best] = float(score)
        elif excuse:
            continue
        else:
            best = None
        kept.append(float(score))
        hits.append(best is not None)
    return Judged(kept, hits, len(true), found_at)


def _excused(found: Boxes, ignore: Boxes | None, overlap: float) -> npt.NDArray[np.bool_]:
    if ignore is None or not len(ignore) or not len(found):
        return np.zeros(len(found), bool)
    low = np.maximum(found[:, None, :2], ignore[None, :, :2])
    high = np.minimum(found[:, None, 2:], ignore[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    area = np.maximum(np.prod(found[:, 2:] - found[:, :2], axis=1), 1e-9)[:, None]
    near = (shared / area >= 0.5) | (box_iou(found, ignore) >= overlap)
    return np.asarray(near.any(1), bool)


def recall_and_precision(judged: Sequence[Judged], threshold: float) -> tuple[int, int, int]:
    """Hits, detections and plates at a score threshold."""
    kept = [(s, h) for one in judged for s, h in zip(one.scores, one.hits, strict=True)
            if s >= threshold]  # fmt: skip
    return sum(h for _, h in kept), len(kept), sum(one.plates for one in judged)


def f1(hits: int, detections: int, plates: int) -> float:
    """The harmonic mean of recall and precision."""
    return 2 * hits / max(1, detections + plates)


def best_threshold(judged: Sequence[Judged]) -> tuple[float, float]:
    """The score threshold, in steps of 0.02, that makes fewest mistakes, and the best F1.

    A plate missed and a false detection are a mistake each. Thresholds that make one more than the
    best are as good, as far as some photographs can tell; the middle of all these is the safest.
    """
    thresholds = np.arange(0.1, 0.9, 0.02)
    counts = [recall_and_precision(judged, float(t)) for t in thresholds]
    mistakes = [plates - hits + detections - hits for hits, detections, plates in counts]
    as_good = [t for t, n in zip(thresholds, mistakes, strict=True) if n <= min(mistakes) + 1]
    return float(as_good[len(as_good) // 2]), max(f1(*count) for count in counts)


class FindPlates(dl.Callback):  # type: ignore[misc]  # catalyst has no types
    """Judges the moving average on whole photographs at the end of each epoch.

    Epoch metrics of loader ``valid``: ``recall``, ``precision`` and ``f1`` at an overlap of 0.5,
    at the best ``threshold``.
    """

    def __init__(self, photos: Sequence[Photo], long_side: int, bf16: bool) -> None:
        super().__init__(order=dl.CallbackOrder.Metric)
        self._bf16 = bf16
        self._photos = photos
        self._long_side = long_side

    def on_loader_end(self, runner: Any) -> None:
        """Judges when the valid loader is through."""
        if runner.loader_key != "valid":
            return
        judged = [self._judge(runner.model["average"], photo) for photo in self._photos]
        threshold, score = best_threshold(judged)
        hits, detections, plates = recall_and_precision(judged, threshold)
        runner.loader_metrics.update(
            f1=score,
            recall=hits / max(1, plates),
            precision=hits / max(1, detections),
            threshold=threshold,
        )

    def _judge(self, model: torch.nn.Module, photo: Photo) -> Judged:
        picture, scale = letterbox(photo.image, self._long_side)
        tensor = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
        device = next(model.parameters()).device
        with (
            torch.inference_mode(),
            torch.autocast(device.type, torch.bfloat16, enabled=self._bf16),
        ):
            found = model(tensor.to(device).contiguous(memory_format=torch.channels_last))[0]
        corners, scores = decode_map(found.float().cpu().numpy(), 0.1, 32)
        boxes = np.array([bounding_box(c / scale) for c in corners], np.float32).reshape(-1, 4)
        kept = suppress(boxes, scores, 0.3)
        return judge(boxes[kept], [float(scores[i]) for i in kept], photo.boxes, photo.ignore)
