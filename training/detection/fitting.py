"""Corners for plates of which only a box is known: a detector looks at each, enlarged."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from platestream.errors import DataError
from platestream.vision.close_up import close_up
from platestream.vision.detector import Detector
from platestream.vision.geometry import Corners, bounding_box, box_iou
from training.detection.photos import (
    CORNER_COLUMNS,
    correct,
    list_photos,
    read_corrections,
    read_photo,
)
from training.recognition.crops import list_pictures, plate_folder
from training.recognition.plate_pictures import LEAST_WIDTH
from training.synthesis.paste import into_box

Image = npt.NDArray[np.uint8]
Fitted = dict[str, list[Corners]]  # by file

CLOSE_UP_SIDE = 256  # pixels: the long side at which a detector is to look at a close-up
LEAST_OVERLAP = 0.7  # of the box round the fitted corners with the box that is known


def fit_corners(
    detector: Detector, image: Image, box: npt.NDArray[np.float32], *, least: float = LEAST_OVERLAP
) -> Corners | None:
    """Finds the corners of the plate in a box.

    Args:
        detector: Made with ``long_side=CLOSE_UP_SIDE``.
        image: HxWx3 uint8 BGR.
        box: x1, y1, x2, y2 of the plate.
        least: The least intersection over union of the corners' box with the one given.

    Returns:
        4x2 float32 pixels whose axis-aligned box is the one given; None if no plate is seen in
        the box, or it lies otherwise.
    """
    known = np.asarray(box, np.float32).reshape(1, 4)
    corners = find_corners(detector, image, known[0])
    if corners is None:
        return None
    if box_iou(np.array([bounding_box(corners)], np.float32), known)[0, 0] < least:
        return None
    return into_box(corners, known[0])


def find_corners(
    detector: Detector, image: Image, place: npt.NDArray[np.float32]
) -> Corners | None:
    """Finds the corners of the surest plate that lies about at a place; None if there is none.

    Args:
        detector: Made with ``long_side=CLOSE_UP_SIDE``.
        image: HxWx3 uint8 BGR.
        place: x1, y1, x2, y2; the plate's middle lies within.
    """
    x1, y1, x2, y2 = (float(v) for v in place)
    view, matrix = close_up(image, (x1, y1, x2, y2))
    for detection in detector.detect(view):
        corners = cv2.transform(detection.corners[None], matrix)[0].astype(np.float32)
        x, y = corners.mean(0)
        if x1 <= x <= x2 and y1 <= y <= y2 and cv2.isContourConvex(corners):
            return corners
    return None


def fit_photos(
    detector: Detector, root: Path, corrections: Path | None = None
) -> tuple[Fitted, int]:
    """Fits corners to the boxed plates of photographs.

    Args:
        root: A folder with ``images`` and ``labels`` (YOLO text).
        corrections: ``file,x1,y1,x2,y2,action``.

    Returns:
        Corners by file, and how many plates there are.
    """
    corrected = read_corrections(corrections) if corrections else {}
    fitted: Fitted = {}
    plates = 0
    for file in list_photos(root):
        photo = read_photo(root, file)
        if photo is None:
            continue
        photo = correct(photo, corrected.get(file, ()))
        plates += len(photo.boxes)
        quads = [fit_corners(detector, photo.image, box) for box in photo.boxes]
        fitted[file] = [quad for quad in quads if quad is not None]
    return fitted, plates


def fit_crops(detector: Detector, root: Path) -> tuple[Fitted, int]:
    """Fits corners to the plates that crops show.

    Args:
        root: CropNumbers, or a folder of pictures.

    Returns:
        Corners by file, one plate each, and how many crops there are.
    """
    folder = plate_folder(root)
    fitted: Fitted = {}
    files = list_pictures(folder)
    for file in files:
        image = cv2.imread(str(folder / file))
        if image is None:
            continue
        height, width = image.shape[:2]
        whole = np.array([0, 0, width, height], np.float32)
        corners = find_corners(detector, image.astype(np.uint8), whole)
        if corners is not None and np.ptp(corners[:, 0]) >= LEAST_WIDTH * width:
            fitted[file] = [corners]
    return fitted, len(files)


def write_corners(path: Path, fitted: Fitted) -> None:
    """Writes corners as ``photos.read_corners`` reads them, to a tenth of a pixel.

    Raises:
        DataError: The file cannot be written.
    """
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["file", *CORNER_COLUMNS])
            for name, quads in sorted(fitted.items()):
                writer.writerows([name, *(f"{v:.1f}" for v in quad.ravel())] for quad in quads)
    except OSError as error:
        raise DataError(f"cannot write '{path}': {error.strerror}") from error
