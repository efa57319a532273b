"""Batches for the detector: photographs in any size and light, plates put in and taken away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import albumentations as A
import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.utils.data import Dataset

from platestream.vision.close_up import CLOSE_UP
from training.detection.light import glare, night
from training.detection.pasting import RealPlate, paint_lettering, repaint
from training.detection.photos import Photo
from training.detection.targets import to_sample
from training.detection.views import Pyramid, View, clip, empty, mirror, placing, tile

Image = npt.NDArray[np.uint8]
Sample = dict[str, Tensor]

_NARROWEST = 11.0  # pixels at the network's input that a plate may be wide in training
_WIDEST = 0.95  # of the cut's side
_CUT = 0.12  # how often a street's plate lies at the edge of the cut
_SCALES = (0.12, 9.0)
_CLOSE_UP_WIDTH = 128.0  # pixels that a plate takes in it


@dataclass(frozen=True, slots=True)
class Mixture:
    """How often a sample is what; the rest are street cuts with a plate as they are.

    Attributes:
        close_ups: Eight second looks side by side.
        crops: A photographed close-up on another ground.
        empty: Cuts where a detector saw a plate that is none, or anywhere.
        repainted: Of the cuts, the share whose plates are painted over.
        real: Of the plates painted over, the share of photographed ones.
    """

    close_ups: float = 0.4
    crops: float = 0.1
    empty: float = 0.15
    repainted: float = 0.45
    real: float = 0.35


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A close-up of a plate: HxWx3 uint8 BGR and 4x2 corners in pixels of it."""

    image: Image
    corners: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What views are made of.

    Attributes:
        photos: Photographs with plates.
        grounds: Pictures without plates, HxWx3 uint8 BGR.
        crops: Close-ups whose corners are known.
        plates: Photographed plates, flat.
        negatives: Crops without a plate.
    """

    photos: Sequence[Photo]
    grounds: Sequence[Image] = ()
    crops: Sequence[Crop] = ()
    plates: Sequence[RealPlate] = ()
    negatives: Sequence[Image] = ()


class TrainingViews(Dataset[Sample]):
    """Views made anew each time; ``__len__`` is what one epoch takes."""

    def __init__(
        self,
        material: Material,
        *,
        side: int,
        length: int,
        seed: int,
        mixture: Mixture | None = None,
    ) -> None:
        """Keeps the material in memory.

        Args:
            side: Of the square views, in pixels; a multiple of 256.
        """
        self._material = material
        self._pyramids = [Pyramid(photo) for photo in material.photos]
        self._boxed = [p for p in self._pyramids if len(p.corners)]
        self._fooled = [p for p in self._pyramids if len(p.photo.negatives)]
        self._side = side
        self._length = length
        self._seed = seed
        self._mixture = mixture or Mixture()
        self._look = _look(seed)
        self.epoch = 0

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng((self._seed, self.epoch, index))
        view = self.view(rng)
        image = self._look(image=view.image)["image"]
        return to_sample(View(image, view.corners, view.known, view.ignore))

    def view(self, rng: np.random.Generator) -> View:
        """One view before the camera's part: noise, blur, compression."""
        mixture, side = self._mixture, self._side
        kind = rng.random()
        if kind < mixture.close_ups:
            columns = side // CLOSE_UP[0]
            count = columns * (side // CLOSE_UP[1])
            view = tile([self._close_up(rng) for _ in range(count)], columns)
        elif kind < mixture.close_ups + mixture.crops and self._material.crops:
            view = self._crop(rng)
        elif kind < mixture.close_ups + mixture.crops + mixture.empty:
            view = self._empty(rng)
        else:
            view = self._street(rng)
        if rng.random() < 0.25:
            paint_lettering(view, rng)
        if rng.random() < 0.25:
            view = mirror(view)
        light = rng.random()
        if light < 0.14:
            night(view, rng)
        elif light < 0.22:
            glare(view, rng)
        return view

    def _street(self, rng: np.random.Generator, deep: int = 0) -> View:
        """A square cut in which a plate has a width drawn evenly over its logarithm.

        A photograph too small to fill it lies on another one.
        """
        side = self._side
        pyramid = self._boxed[int(rng.integers(len(self._boxed)))]
        quad = pyramid.corners[int(rng.integers(len(pyramid.corners)))]
        wanted = float(np.exp(rng.uniform(np.log(_NARROWEST), np.log(_WIDEST * side))))
        scale = float(np.clip(wanted / max(4.0, np.ptp(quad[:, 0])), *_SCALES))
        room = max(0.0, side / 2 - wanted / 2 - 4)
        target = side / 2 + rng.uniform(-room, room, 2)
        if rng.random() < _CUT:  # its middle up to a fifth of its size beyond the edge
            axis = int(rng.random() < 0.3)
            within = rng.uniform(-0.2, 0.5) * scale * float(np.ptp(quad[:, axis]))
            target[axis] = within if rng.random() < 0.5 else side - within
        matrix = placing(rng, quad.mean(0).astype(np.float64), scale, target, tilt=pyramid.tilts)
        rows, columns = pyramid.photo.image.shape[:2]
        if scale * min(rows, columns) < 0.8 * side and deep < 3 and rng.random() < 0.6:
            under = self._street(rng, deep + 1)
        else:
            under = self._ground(rng, side, side)
        return self._repainted(pyramid.cut(matrix, under), rng)

    def _close_up(self, rng: np.random.Generator) -> View:
        """A second look at a plate, or at what was taken for one."""
        width, height = CLOSE_UP
        ground = self._ground(rng, width, height)
        kind = rng.random()
        spread = _CLOSE_UP_WIDTH * np.array([0.12, 0.06])
        target = np.array([width, height]) / 2 + rng.normal(0, 1, 2) * spread
        size = _CLOSE_UP_WIDTH * float(np.exp(rng.normal(0, 0.2)))
        if kind < 0.35 and self._fooled:
            pyramid = self._fooled[int(rng.integers(len(self._fooled)))]
            boxes = pyramid.photo.negatives
            x1, y1, x2, y2 = boxes[int(rng.integers(len(boxes)))]
            point, extent = np.array([(x1 + x2) / 2, (y1 + y2) / 2]), max(x2 - x1, 2.2 * (y2 - y1))
        elif kind < 0.45:
            pyramid = self._pyramids[int(rng.integers(len(self._pyramids)))]
            rows, columns = pyramid.photo.image.shape[:2]
            point = rng.uniform(0.1, 0.9, 2) * [columns, rows]
            extent = float(np.exp(rng.uniform(np.log(20), np.log(250))))
        else:
            pyramid = self._boxed[int(rng.integers(len(self._boxed)))]
            quad = pyramid.corners[int(rng.integers(len(pyramid.corners)))]
            point = quad.mean(0).astype(np.float64)
            extent = max(float(np.ptp(quad[:, 0])), 2.2 * float(np.ptp(quad[:, 1])))
        scale = float(np.clip(size / max(4.0, extent), *_SCALES))
        matrix = placing(rng, point.astype(np.float64), scale, target, tilt=pyramid.tilts)
        return self._repainted(pyramid.cut(matrix, ground), rng)

    def _crop(self, rng: np.random.Generator) -> View:
        """A photographed close-up, whole, on another ground."""
        side = self._side
        crop = self._material.crops[int(rng.integers(len(self._material.crops)))]
        image, corners = crop.image, crop.corners
        height, width = image.shape[:2]
        wanted = float(np.exp(rng.uniform(np.log(40), np.log(side))))
        scale = wanted / width
        if scale < 0.7:
            size = (max(8, round(width * scale)), max(4, round(height * scale)))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
            corners = corners * np.float32([size[0] / width, size[1] / height])
            height, width = image.shape[:2]
            scale = 1.0
        box = np.concatenate([corners.min(0), corners.max(0)])[None].astype(np.float32)
        photo = Photo(Path(), image, box, corners=corners[None].astype(np.float32))
        room = np.maximum(0, side / 2 - np.array([wanted, wanted * height / width]) / 2)
        target = side / 2 + rng.uniform(-1, 1, 2) * room
        middle = np.array([width / 2, height / 2])
        matrix = placing(rng, middle, scale, target, tilt=True)
        return Pyramid(photo).cut(matrix, self._ground(rng, side, side))

    def _empty(self, rng: np.random.Generator) -> View:
        """Where a detector has seen a plate that is none, or anywhere; plates may be near."""
        side = self._side
        if self._fooled and rng.random() < 0.6:
            pyramid = self._fooled[int(rng.integers(len(self._fooled)))]
            boxes = pyramid.photo.negatives
            x1, y1, x2, y2 = boxes[int(rng.integers(len(boxes)))]
            wanted = float(np.exp(rng.uniform(np.log(24), np.log(0.6 * side))))
            point, scale = np.array([(x1 + x2) / 2, (y1 + y2) / 2]), wanted / max(4.0, x2 - x1)
        else:
            pyramid = self._pyramids[int(rng.integers(len(self._pyramids)))]
            height, width = pyramid.photo.image.shape[:2]
            point = rng.uniform(0.2, 0.8, 2) * [width, height]
            scale = float(np.exp(rng.uniform(np.log(0.3), np.log(2.5))))
        scale = float(np.clip(scale, *_SCALES))
        target = rng.uniform(0.25, 0.75, 2) * side
        matrix = placing(rng, point.astype(np.float64), scale, target, tilt=pyramid.tilts)
        view = pyramid.cut(matrix, self._ground(rng, side, side))
        negatives = self._material.negatives
        for _ in range(int(rng.integers(0, 4)) if negatives else 0):
            self._put(view, negatives[int(rng.integers(len(negatives)))], rng)
        return view

    def _put(self, view: View, picture: Image, rng: np.random.Generator) -> None:
        """Lays a crop without a plate where no plate is, in place."""
        rows, columns = view.image.shape[:2]
        height, width = picture.shape[:2]
        scale = float(np.exp(rng.uniform(np.log(30), np.log(0.6 * columns)))) / max(width, height)
        size = (max(4, round(width * scale)), max(4, round(height * scale)))
        x, y = int(rng.integers(0, columns)) - size[0] // 2, int(rng.integers(0, rows)) - (
            size[1] // 2)  # fmt: skip
        x1, y1, x2, y2 = max(0, x), max(0, y), min(columns, x + size[0]), min(rows, y + size[1])
        for low, high in [(q.min(0), q.max(0)) for q in view.corners]:
            if x1 < high[0] + 4 and x2 > low[0] - 4 and y1 < high[1] + 4 and y2 > low[1] - 4:
                return
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        view.image[y1:y2, x1:x2] = small[y1 - y : y2 - y, x1 - x : x2 - x]

    def _repainted(self, view: View, rng: np.random.Generator) -> View:
        if rng.random() >= self._mixture.repainted:
            return view
        return clip(repaint(view, self._material.plates, self._mixture.real, rng))

    def _ground(self, rng: np.random.Generator, width: int, height: int) -> View:
        """What lies where the photograph does not: another one's part, or the grey of padding."""
        grounds = self._material.grounds
        if grounds and rng.random() < 0.6:
            picture = grounds[int(rng.integers(len(grounds)))]
            return empty(cv2.resize(picture, (width, height)).astype(np.uint8))
        return empty(np.full((height, width, 3), 114, np.uint8))


def _look(seed: int) -> Any:
    """Light, colour, blur, noise, weather and compression; nothing that moves a pixel."""
    return A.Compose(
        [
            A.OneOf([A.RandomGamma((45, 200)), A.RandomBrightnessContrast(0.35, 0.4)], p=0.5),
            A.HueSaturationValue(12, 35, 0, p=0.25),
            A.ToGray(p=0.12),
            A.OneOf(
                [
                    A.MotionBlur(blur_limit=(3, 7)),
                    A.GaussianBlur(sigma_limit=(0.4, 1.5)),
                    A.Downscale(
                        scale_range=(0.4, 0.8),
                        interpolation_pair={
                            "downscale": cv2.INTER_AREA,
                            "upscale": cv2.INTER_LINEAR,
                        },
                    ),
                ],
                p=0.3,
            ),
            A.GaussNoise(std_range=(0.01, 0.07), p=0.2),
            A.RandomRain(p=0.02),
            A.ImageCompression(quality_range=(25, 90), p=0.4),
        ],
        seed=seed,
    )
