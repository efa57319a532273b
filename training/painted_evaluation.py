"""Judging the whole path on plates of any type, painted over those of photographs, leaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from platestream.errors import DataError
from platestream.vision.geometry import bounding_box, box_iou
from platestream.vision.reader import PlateReader
from training.detection.pasting import erase, light_of
from training.detection.photos import read_truth
from training.intervals import share
from training.synthesis.layout import KINDS
from training.synthesis.paste import draw, random_corners
from training.synthesis.plate import choose_layout

Image = npt.NDArray[np.uint8]
Corners = npt.NDArray[np.float32]

_OVERLAP = 0.5
_PLATE_MM = 520.0  # what the painted-over plate is taken to be wide
_LEAST = 70.0  # pixels of the plate that is painted over
_WIDTHS = (0, 60, 90, 120)  # pixels of a painted plate's box, from each to the next


def evaluate(
    reader: PlateReader, root: Path, truth: Path, kind: str, lean: float, seed: int
) -> dict[str, Any]:
    """Paints a plate over the widest one of each photograph and reads the photograph.

    Args:
        root: A folder with ``images``.
        truth: A CSV of checked boxes (``file,x1,y1,x2,y2,ignore``): which photographs to take, and
            where their plates are. Those under 70 px wide are passed over.
        kind: A type of plate that can be drawn, as ``ru-1a``.
        lean: Standard deviation in radians of the plate's turn in the picture.

    Returns:
        Shares with their intervals; ``exact_from_…_px`` by the width of a plate's box.
        ``corner_error`` is the largest distance of a plate's four corners from where it was
        painted, in shares of the plate's height: median and 90th percentile; ``turn`` how far
        found plates lean for each degree that painted ones do.

    Raises:
        DataError: There is no such type, or no photograph of the CSV.
    """
    if kind not in KINDS:
        raise DataError(f"no plate type '{kind}'; there are {', '.join(KINDS)}")
    rng = np.random.default_rng(seed)
    found = accepted = right = 0
    exact: list[bool] = []
    widths: list[float] = []
    errors: list[float] = []
    turns: list[tuple[float, float]] = []
    for file, known in sorted(read_truth(truth).items()):
        image = cv2.imread(str(root / "images" / file))
        if image is None or not len(known.boxes):
            continue
        box = max(known.boxes, key=lambda b: float(b[2] - b[0]))
        if box[2] - box[0] < _LEAST:
            continue
        picture = image.astype(np.uint8)
        text, corners = paint(picture, box, kind, lean, rng)
        exact.append(False)
        widths.append(float(np.ptp(corners[:, 0])))
        (plates,) = reader.read([picture])
        where = np.array([bounding_box(corners)], np.float32)
        boxes = np.array([p.detection.box for p in plates], np.float32).reshape(-1, 4)
        shared = box_iou(boxes, where)[:, 0]
        if not len(shared) or shared.max() < _OVERLAP:
            continue
        plate = plates[int(shared.argmax())]
        found += 1
        exact[-1] = plate.text.guess == text
        accepted += plate.text.accepted
        right += plate.text.accepted and plate.text.text == text
        height = float(np.linalg.norm(corners[3] - corners[0] + corners[2] - corners[1])) / 2
        off = np.linalg.norm(plate.detection.corners - corners, axis=1).max()
        errors.append(float(off) / height)
        turns.append((_angle(corners), _angle(plate.detection.corners)))
    if not exact:
        raise DataError(f"no photograph of '{truth}' with a large enough plate is in '{root}'")
    result: dict[str, Any] = {
        "kind": kind,
        "painted": len(exact),
        "found": share(found, len(exact)),
        "found_and_exact": share(sum(exact), len(exact)),
        "accepted": share(accepted, len(exact)),
        "accepted_right": share(right, accepted),
    }
    classes = np.digitize(widths, _WIDTHS)
    for number, low in enumerate(_WIDTHS, 1):
        of = classes == number
        if of.any():
            result[f"exact_from_{low}_px"] = share(int(np.array(exact)[of].sum()), int(of.sum()))
    if errors:
        median, most = np.percentile(errors, [50, 90]).tolist()
        result["corner_error"] = {"median": round(median, 3), "p90": round(most, 3)}
        true, seen = np.array(turns).T
        result["turn"] = round(float(true @ seen / max(1e-9, true @ true)), 3)
    return result


def paint(
    picture: Image, box: npt.NDArray[np.float32], kind: str, lean: float, rng: np.random.Generator
) -> tuple[str, Corners]:
    """Takes a plate away and puts a drawn one in its place, to the same scale, in place.

    Args:
        picture: HxWx3 uint8 BGR.
        box: x1, y1, x2, y2 of the plate that is there.

    Returns:
        Its text, and its corners: 4x2 float32 pixels.
    """
    light = light_of(picture, box)
    erase(picture, box)
    layout = choose_layout(kind, rng)
    width = float(box[2] - box[0]) * layout.size_mm[0] / _PLATE_MM
    middle = np.array([box[0] + box[2], box[1] + box[3]], np.float32) / 2
    corners = random_corners(rng, width, layout.size_mm, roll=lean) + middle
    corners = corners.astype(np.float32)
    return draw(picture, corners, kind, rng, light=light, layout=layout), corners


def _angle(corners: Corners) -> float:
    across = corners[1] - corners[0] + corners[2] - corners[3]
    return float(np.degrees(np.arctan2(across[1], across[0])))
