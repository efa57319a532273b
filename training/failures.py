"""What a model gets wrong, on drawn pictures: they show it without showing anybody's plate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import cv2
import numpy as np
import numpy.typing as npt

from platestream.vision.detector import Detector
from platestream.vision.flat_plate import flatten
from platestream.vision.geometry import Corners, bounding_box, box_iou
from platestream.vision.recognizer import Recognizer
from training.synthesis.camera import photograph
from training.synthesis.clutter import foreign_crop
from training.synthesis.crop import SyntheticCrop, plate_crop
from training.synthesis.plate import random_text
from training.synthesis.scene import Street, random_cars

Image = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float32]

CELL = (256, 96)  # width and height in pixels of a recognizer's failure
VIEW = (320, 200)  # and of a detector's
_FOREIGN = 0.1  # share of the plates that are other countries'
_MOST = 20_000  # drawn until it is given up
_BATCH = 32
_STREET = (1024, 576)  # pixels; the detector looks at no more
_SECONDS = 6.0  # of a street's life; its cars come near in that time
_OVERLAP = 0.5
_LEAST_WIDTH, _EDGE = 20, 8  # pixels
_TRUE, _FOUND = (80, 220, 80), (60, 60, 240)  # BGR


@dataclass
class Failures:
    """Pictures of failures with captions, and how many were drawn to come by them.

    Attributes:
        pictures: HxWx3 uint8 BGR, all of one size.
        drawn: Plates that were drawn.
        wrong: How many of them the model got wrong: as many as there are pictures, or more.
    """

    pictures: list[Image] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    drawn: int = 0
    wrong: int = 0

    def add(self, picture: Image, caption: str) -> None:
        """One more."""
        self.pictures.append(picture)
        self.captions.append(caption)


def misread(recognizer: Recognizer, wanted: int, seed: int) -> Failures:
    """Drawn crops that a recognizer misreads: all Russian types, and some of other countries.

    A caption says what is written, what is read and how surely; ``*`` stands for a letter that no
    Russian plate has, and ``!`` marks a wrong reading that is accepted.
    """
    found = Failures()
    for start in range(0, _MOST, _BATCH):
        crops = []
        for number in range(start, start + _BATCH):
            rng = np.random.default_rng((seed, number))
            crops.append(foreign_crop(rng) if rng.random() < _FOREIGN else plate_crop(rng))
        pictures = [_as_read(crop) for crop in crops]
        for crop, picture, read in zip(crops, pictures, recognizer.predict(pictures), strict=True):
            if len(found.pictures) == wanted:
                return found
            found.drawn += 1
            if read.guess != crop.text:
                found.wrong += 1
                mark = "!" if read.accepted else ""
                said = f"{read.text or 'nothing'} {100 * read.confidence:.0f}%{mark}"
                found.add(_letterboxed(picture), f"{crop.text}: {said}")
    return found


def overlooked(detector: Detector, wanted: int, seed: int) -> Failures:
    """Drawn streets in which a detector misses a plate, or sees one where there is none.

    What is there is framed in green, what is found in red. Plates less than 20 px wide, which
    nobody can read, and those cut off by the picture's edge need not be found, and may be.
    """
    found = Failures()
    for image, corners in _streets(seed):
        all_true = np.array([bounding_box(quad) for quad in corners], np.float32).reshape(-1, 4)
        true = all_true[all_true[:, 2] - all_true[:, 0] >= _LEAST_WIDTH]
        seen = detector.detect(image)
        boxes = np.array([d.box for d in seen], np.float32).reshape(-1, 4)
        found.drawn += len(true)
        for box in true[_apart(true, boxes)]:
            found.wrong += 1
            found.add(_view(image, box, true, boxes), f"missed, {box[2] - box[0]:.0f} px wide")
        for one, alone in zip(seen, _apart(boxes, all_true), strict=True):
            if alone and _counts(one.box, image):
                said = f"no plate, {100 * one.score:.0f}%"
                found.add(_view(image, np.array(one.box, np.float32), true, boxes), said)
        if len(found.pictures) >= wanted or found.drawn >= _MOST:
            break
    found.pictures, found.captions = found.pictures[:wanted], found.captions[:wanted]
    return found


def _apart(boxes: Boxes, others: Boxes) -> npt.NDArray[np.bool_]:
    """Which boxes overlap none of the others by half (IoU)."""
    if not len(others):
        return np.ones(len(boxes), bool)
    return np.asarray(box_iou(boxes, others).max(1, initial=0.0) < _OVERLAP)


def _counts(box: tuple[float, float, float, float], image: Image) -> bool:
    """Whether what is found is large enough, and not cut off by the picture's edge."""
    height, width = image.shape[:2]
    inside = min(box[0], box[1], width - box[2], height - box[3]) > _EDGE
    return inside and box[2] - box[0] >= _LEAST_WIDTH


def _streets(seed: int) -> Iterator[tuple[Image, list[Corners]]]:
    """Photographs of drawn streets, good and bad, with the corners of the plates in them."""
    for number in count():
        rng = np.random.default_rng((seed, number))
        cars = random_cars(rng, [random_text(rng), random_text(rng)], _SECONDS)  # none hides one
        image, corners = Street(cars, number).frame(float(rng.uniform(0, _SECONDS)))
        scale = _STREET[0] / image.shape[1]
        image = cv2.resize(image, _STREET, interpolation=cv2.INTER_AREA).astype(np.uint8)
        quads = [(quad * scale).astype(np.float32) for quad in corners.values()]
        width = min((float(np.ptp(quad[:, 0])) for quad in quads), default=100.0)
        yield photograph(image, rng, width / _STREET[0]), quads


def _as_read(crop: SyntheticCrop) -> Image:
    """The crop; flat where there are two lines, which can only be told apart so."""
    return crop.image if crop.lines == 1 else flatten(crop.image, crop.corners)


def _letterboxed(image: Image) -> Image:
    width, height = CELL
    scale = min(width / image.shape[1], height / image.shape[0])
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    cell = np.zeros((height, width, 3), np.uint8)
    x, y = (width - size[0]) // 2, (height - size[1]) // 2
    cell[y : y + size[1], x : x + size[0]] = cv2.resize(image, size)
    return cell


def _view(image: Image, box: Boxes, true: Boxes, found: Boxes) -> Image:
    """What lies round a box, with all frames in it; small plates are enlarged."""
    scale = float(np.clip(0.3 * VIEW[0] / max(1.0, box[2] - box[0]), 0.5, 3))
    size = (round(VIEW[0] / scale), round(VIEW[1] / scale))
    x = int(np.clip((box[0] + box[2] - size[0]) / 2, 0, image.shape[1] - size[0]))
    y = int(np.clip((box[1] + box[3] - size[1]) / 2, 0, image.shape[0] - size[1]))
    view = cv2.resize(image[y : y + size[1], x : x + size[0]], VIEW)
    for boxes, colour, apart in ((true, _TRUE, 3), (found, _FOUND, 5)):
        for x1, y1, x2, y2 in (boxes - [x, y, x, y]) * scale:
            a, b = (round(x1) - apart, round(y1) - apart), (round(x2) + apart, round(y2) + apart)
            cv2.rectangle(view, a, b, colour, 1)
    return view.astype(np.uint8)
