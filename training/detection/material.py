"""Gathers from disk what the detector is trained on; what is judged stays apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from training import splits
from training.detection.dataset import Crop, Material
from training.detection.pasting import RealPlate, flatten
from training.detection.photos import (
    Photo,
    list_photos,
    prepare,
    read_corners,
    read_corrections,
    without_near,
)
from training.recognition.crops import list_pictures, plate_folder
from training.recognition.grounds import plate_free

Image = npt.NDArray[np.uint8]

_LONG_SIDE = 1280  # pixels; larger photographs are made smaller
_CROP_WIDTH = 640
_GROUNDS = 300
_WATCHED = 0.08  # share of the photographs that only watch


@dataclass(frozen=True, slots=True)
class Gathered:
    """What is trained on, and the photographs that watch."""

    material: Material
    watched: list[Photo]


def gather(
    photos: Path,
    apart: Iterable[str],
    *,
    corrections: Path | None = None,
    corners: Path | None = None,
    crops: Path | None = None,
    crop_corners: Path | None = None,
    crops_apart: Iterable[str] = (),
    seed: int = 0,
) -> Gathered:
    """Reads photographs, and close-ups where there are any.

    Args:
        photos: A folder with ``images`` and ``labels`` (YOLO text).
        apart: Photographs that are judged; nearly equal ones stay apart with them.
        corrections: ``file,x1,y1,x2,y2,action`` of the photographs.
        corners: ``file,x1,…,y4`` of the photographs' plates.
        crops: CropNumbers, unpacked: ``NumBase`` with plates, ``Negative`` without.
        crop_corners: ``file,x1,…,y4`` of the plates in ``NumBase``; others are not used.
        crops_apart: Files of ``NumBase`` and ``Negative`` that are not used.

    Raises:
        DataError: A folder or file is missing or not so.
    """
    apart = set(apart)
    corrected = read_corrections(corrections) if corrections else {}
    known = read_corners(corners) if corners else {}
    files = without_near(photos, list_photos(photos), apart)
    sides = splits.split([[file] for file in files], _WATCHED, 0)
    train, watched = (
        [p for file in side if (p := prepare(photos, file, corrected, known, _LONG_SIDE))]
        for side in sides
    )
    plates = [plate for photo in train for plate in _plates_of(photo)]
    close_ups: list[Crop] = []
    negatives: list[Image] = []
    if crops:
        kept = set(crops_apart)
        quads = read_corners(crop_corners) if crop_corners else {}
        folder = plate_folder(crops)
        for file in list_pictures(folder):
            if file in quads and file not in kept:
                image = _read(folder / file)
                if image is not None:
                    close_ups.append(_shrunk(Crop(image, quads[file][0])))
        plates += [p for crop in close_ups if (p := flatten(crop.image, crop.corners))]
        empty = crops / "Negative"
        if empty.is_dir():
            pictures = [_read(empty / f) for f in list_pictures(empty) if f not in kept]
            negatives = [picture for picture in pictures if picture is not None]
    return Gathered(
        Material(train, plate_free(photos, apart, _GROUNDS, seed), close_ups, plates, negatives),
        watched,
    )


def _plates_of(photo: Photo) -> list[RealPlate]:
    if photo.corners is None:
        return []
    fitted = [quad for quad in photo.corners if np.isfinite(quad).all()]
    return [plate for quad in fitted if (plate := flatten(photo.image, quad))]


def _read(path: Path) -> Image | None:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return None if image is None else image.astype(np.uint8)


def _shrunk(crop: Crop) -> Crop:
    scale = _CROP_WIDTH / crop.image.shape[1]
    if scale >= 1:
        return crop
    image = cv2.resize(crop.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return Crop(image.astype(np.uint8), crop.corners * np.float32(scale))
