"""Judging the whole path on photographs: plates found and read exactly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from platestream.errors import DataError
from platestream.vision.geometry import box_iou
from platestream.vision.reader import PlateReader, ReadPlate
from training.intervals import share
from training.recognition.crops import Crop, photo_crops
from training.spoiling import WAYS

Image = npt.NDArray[np.uint8]

_OVERLAP = 0.5
_FRAME = (1920, 1080)  # in which plates are small
_LEAST = 70.0  # pixels of a plate in a photograph that is made smaller


def evaluate(reader: PlateReader, root: Path, truth: Path) -> dict[str, Any]:
    """Reads photographs whose plates' texts are known.

    Args:
        root: A folder with ``images``.
        truth: A CSV as ``photo_crops`` takes it; plates that nobody can read are not asked for.

    Returns:
        Shares with their intervals, and every mistake. ``found_and_exact`` is with the best guess
        for every character, ``found_and_shown`` the text as it is given, with ``?``.

    Raises:
        DataError: The CSV does not fit, or a photograph cannot be read.
    """
    by_photo = _by_photo(reader, root, truth)
    pairs: list[tuple[Crop, ReadPlate | None]] = []
    for path, crops in sorted(by_photo.items()):
        image = _picture(path, crops)
        (found,) = reader.read([image])
        pairs += [(crop, _hit(crop, found, image)) for crop in crops]
    hits = [(crop.text, read.text) for crop, read in pairs if read is not None]
    accepted = [(text, read) for text, read in hits if read.accepted]
    return {
        "photographs": len(by_photo),
        "found": share(len(hits), len(pairs)),
        "found_and_exact": share(sum(read.guess == text for text, read in hits), len(pairs)),
        "found_and_shown": share(sum(read.text == text for text, read in hits), len(pairs)),
        "accepted": share(len(accepted), len(pairs)),
        "accepted_right": share(sum(read.text == text for text, read in accepted), len(accepted)),
        "mistakes": [
            {"file": crop.path.name, "text": crop.text, "read": "not found" if read is None
             else read.text.text}
            for crop, read in pairs if read is None or read.text.guess != crop.text
        ],
    }  # fmt: skip


def evaluate_cut(reader: PlateReader, root: Path, truth: Path, cut: float) -> dict[str, Any]:
    """Reads photographs that end within their plates, as frames do when a car leaves them.

    Args:
        root, truth: As ``evaluate`` takes them.
        cut: Of a plate's width, how much is missing.

    Returns:
        By side, how many plates are accepted, and how many of these with their whole text.
    """
    result: dict[str, Any] = {}
    for side in ("right", "left"):
        accepted: list[bool] = []
        count = 0
        for path, crops in sorted(_by_photo(reader, root, truth).items()):
            image = _picture(path, crops)
            for crop in crops:
                x1, y1, x2, y2 = crop.box
                missing = cut * (x2 - x1)
                first = round(x1 + missing) if side == "left" else 0
                last = round(x2 - missing) if side == "right" else image.shape[1]
                shown = np.ascontiguousarray(image[:, first:last])
                rest = (max(x1, first) - first, y1, min(x2, last) - first, y2)
                (found,) = reader.read([shown])
                hit = _hit(replace(crop, box=rest), found, shown)
                count += 1
                if hit is not None and hit.text.accepted:
                    accepted.append(hit.text.text == crop.text)
        result[f"accepted_cut_{side}"] = share(len(accepted), count)
        result[f"accepted_cut_{side}_right"] = share(sum(accepted), len(accepted))
    return result


def evaluate_small(reader: PlateReader, root: Path, truth: Path, width: int) -> dict[str, Any]:
    """Looks for plates that are small in a frame of 1920x1080.

    Each photograph is made so small that its plate has the width, and lies somewhere in a frame of
    its own blurred colours. Photographs with more than one readable plate, or whose plate has less
    than 70 px, or that do not fit into a frame, are passed over.

    Args:
        root, truth: As ``evaluate`` takes them.
        width: Of the plates, in pixels.

    Returns:
        How many are found, and how many read exactly; with intervals.

    Raises:
        DataError: As ``evaluate``; or no photograph will do.
    """
    rng = np.random.default_rng(0)
    found: list[ReadPlate | None] = []
    exact = 0
    for path, crops in sorted(_by_photo(reader, root, truth).items()):
        crop = crops[0]
        assert crop.box is not None
        if len(crops) > 1 or crop.box[2] - crop.box[0] < _LEAST:
            continue
        scale = width / (crop.box[2] - crop.box[0])
        photo = _picture(path, crops)
        small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        height, across = small.shape[:2]
        if across > _FRAME[0] or height > _FRAME[1]:
            continue
        ground = cv2.resize(cv2.GaussianBlur(photo, (0, 0), 6), _FRAME)
        frame = cv2.GaussianBlur(ground, (0, 0), 25).astype(np.uint8)
        x = int(rng.integers(0, _FRAME[0] - across + 1))
        y = int(rng.integers(0, _FRAME[1] - height + 1))
        frame[y : y + height, x : x + across] = small
        x1, y1, x2, y2 = (value * scale for value in crop.box)
        box = (x1 + x, y1 + y, x2 + x, y2 + y)
        (plates,) = reader.read([frame])
        hit = _hit(replace(crop, box=box), plates, frame)
        found.append(hit)
        exact += hit is not None and hit.text.guess == crop.text
    if not found:
        raise DataError(f"'{truth}' has no photograph with a single plate of {_LEAST:g} px or more")
    return {
        "width": width,
        "found": share(sum(hit is not None for hit in found), len(found)),
        "found_and_exact": share(exact, len(found)),
    }


def evaluate_spoiled(reader: PlateReader, root: Path, truth: Path) -> dict[str, Any]:
    """Reads photographs as bad days and places would have made them; see ``spoiling``.

    Args:
        root, truth: As ``evaluate`` takes them. Each plate is read in a picture spoiled for it,
            and found where its middle is within a detection's corners.

    Returns:
        ``ways``: rows with the ``way``, how many plates are found, read exactly and accepted, and
        how many of the accepted are right.
    """
    by_photo = sorted(_by_photo(reader, root, truth).items())
    rows: list[dict[str, Any]] = []
    for name, spoil in WAYS.items():
        rng = np.random.default_rng(0)
        hits: list[tuple[str, ReadPlate | None]] = []
        for path, crops in by_photo:
            image = _picture(path, crops)
            for crop in crops:
                assert crop.box is not None
                spoiled, matrix = spoil(image, crop.box, rng)
                (found,) = reader.read([spoiled])
                x1, y1, x2, y2 = crop.box
                middle = np.array([[[(x1 + x2) / 2, (y1 + y2) / 2]]])
                (((x, y),),) = cv2.perspectiveTransform(middle, matrix)
                hits.append((crop.text, _covering(found, (float(x), float(y)))))
        texts = [(text, hit.text) for text, hit in hits if hit is not None]
        accepted = [(text, read) for text, read in texts if read.accepted]
        rows.append({
            "way": name,
            "found": share(len(texts), len(hits)),
            "found_and_exact": share(sum(read.guess == text for text, read in texts), len(hits)),
            "accepted": share(len(accepted), len(hits)),
            "accepted_right": share(sum(read.text == t for t, read in accepted), len(accepted)),
        })  # fmt: skip
    return {"ways": rows}


def _by_photo(reader: PlateReader, root: Path, truth: Path) -> dict[Path, list[Crop]]:
    found: dict[Path, list[Crop]] = defaultdict(list)
    for crop in photo_crops(root, truth, reader.alphabet):
        found[crop.path].append(crop)
    if not found:
        raise DataError(f"'{truth}' names no readable plate")
    return found


def _picture(path: Path, crops: Sequence[Crop]) -> Image:
    """A photograph, which must be large enough for its plates."""
    image = cv2.imread(str(path))
    if image is None:
        raise DataError(f"'{path}' cannot be read")
    height, width = image.shape[:2]
    for crop in crops:
        assert crop.box is not None
        x1, y1, x2, y2 = crop.box
        if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
            raise DataError(f"'{path}' has {width}x{height} pixels, and no plate at {crop.box}")
    return image.astype(np.uint8)


def _hit(crop: Crop, found: list[ReadPlate], image: Image) -> ReadPlate | None:
    """The detection that overlaps a plate's box most, if it does so by half."""
    boxes = np.array([one.detection.box_in(image) for one in found], np.float32).reshape(-1, 4)
    shared = box_iou(boxes, np.array([crop.box], np.float32))[:, 0]
    if not len(shared) or shared.max() < _OVERLAP:
        return None
    return found[int(shared.argmax())]


def _covering(found: list[ReadPlate], point: tuple[float, float]) -> ReadPlate | None:
    """The first plate that a point of the picture lies on."""
    for one in found:
        corners = one.detection.corners.astype(np.float32).reshape(-1, 1, 2)
        if cv2.pointPolygonTest(corners, point, False) >= 0:
            return one
    return None
