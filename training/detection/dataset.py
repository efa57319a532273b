"""Batches for the detector: photographs cut at random scales, with real plates and pasted ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import albumentations as A
import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from platestream.vision.heatmap import OFFSET_SCALE, STRIDE
from training.detection.photos import Photo
from training.synthesis.paste import into_box, paste, random_corners

Image = npt.NDArray[np.uint8]
Sample = dict[str, Tensor]

_WIDTHS = (18.0, 300.0)  # pixels at the network's input that a plate may be wide in training
_LEAST_SEEN = 12.0  # pixels; a narrower plate is neither wanted nor punished
_MIRRORED = [1, 0, 3, 2]


class TrainingPhotos(Dataset[Sample]):
    """Cuts made anew each time; ``__len__`` is what one epoch takes."""

    def __init__(
        self,
        photos: Sequence[Photo],
        grounds: Sequence[Image],
        *,
        side: int,
        length: int,
        seed: int,
        synthetic: float = 0.5,
    ) -> None:
        """Keeps the photographs in memory.

        Args:
            grounds: Pictures without plates, to lie round a photograph that fills no whole cut.
            side: Of the square cuts, in pixels; a multiple of 32.
            synthetic: The share of cuts whose plates are painted over by synthetic ones, whose
                corners are known.
        """
        self._photos = photos
        self._grounds = grounds
        self._side = side
        self._length = length
        self._seed = seed
        self._synthetic = synthetic
        self._look = _look(seed)
        self.epoch = 0

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng((self._seed, self.epoch, index))
        photo = self._photos[int(rng.integers(len(self._photos)))]
        synthetic = rng.random() < self._synthetic
        image, corners = _cut(photo, self._grounds, self._side, rng)
        if synthetic:
            image = image.copy()
            corners = _repaint(image, corners, rng)
        if rng.random() < 0.3:
            image = np.ascontiguousarray(image[:, ::-1])
            corners = corners[:, _MIRRORED] * [-1, 1] + [self._side, 0]
        image = self._look(image=image)["image"]
        return to_sample(image, corners.astype(np.float32), synthetic)


def _cut(
    photo: Photo, grounds: Sequence[Image], side: int, rng: np.random.Generator
) -> tuple[Image, npt.NDArray[np.float32]]:
    """A square cut in which a plate has a width drawn evenly over its logarithm."""
    height, width = photo.image.shape[:2]
    if len(photo.boxes) and rng.random() < 0.92:
        box = photo.boxes[int(rng.integers(len(photo.boxes)))]
        wanted = np.exp(rng.uniform(*np.log(_WIDTHS)))
        scale = float(np.clip(wanted / max(4.0, box[2] - box[0]), 0.12, 3.0))
        centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]) * scale
        room = max(0.0, side / 2 - wanted / 2 - 4)
        corner = centre - side / 2 + rng.uniform(-room, room, 2)
    else:
        scale = float(np.exp(rng.uniform(np.log(0.3), np.log(1.5))))
        corner = rng.uniform(0, 1, 2) * np.maximum(
            0, np.array([width * scale, height * scale]) - side
        )
    stretch = np.exp(rng.normal(0, 0.06))
    matrix = np.array(
        [[scale * stretch, 0, -corner[0] * stretch], [0, scale, -corner[1]]], np.float32
    )
    picture = photo.image
    if scale < 0.5:  # a warp alone would leave jagged edges
        picture = cv2.GaussianBlur(picture, (0, 0), 0.45 / scale)
    cut = np.full((side, side, 3), 114, np.uint8)
    if grounds and rng.random() < 0.8:
        cut = cv2.resize(grounds[int(rng.integers(len(grounds)))], (side, side))
    cv2.warpAffine(
        picture,
        matrix,
        (side, side),
        dst=cut,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_TRANSPARENT,
    )
    x1, y1, x2, y2 = (photo.boxes[:, i] for i in range(4))
    corners = np.stack(
        [
            np.stack([x1, y1], 1),
            np.stack([x2, y1], 1),
            np.stack([x2, y2], 1),
            np.stack([x1, y2], 1),
        ],
        1,
    )
    moved = corners @ matrix[:, :2].T + matrix[:, 2]
    return cut.astype(np.uint8), moved.astype(np.float32).reshape(-1, 4, 2)


def _repaint(
    image: Image, corners: npt.NDArray[np.float32], rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Paints synthetic plates over the real ones, and perhaps one more somewhere."""
    side = image.shape[0]
    placed = []
    for quad in corners:
        box = np.array([*quad.min(0), *quad.max(0)], np.float32)
        x1, y1, x2, y2 = np.clip(box, 0, side - 1).astype(int)
        patch = image[y1 : y2 + 1, x1 : x2 + 1]
        light = float(np.percentile(patch, 90)) if patch.size else 150.0
        target = into_box(random_corners(rng, box[2] - box[0]), box)
        paste(image, target, rng, light=max(45.0, light * rng.uniform(0.8, 1.15)))
        placed.append(target)
    if rng.random() < 0.4:
        target = random_corners(rng, float(np.exp(rng.uniform(np.log(30), np.log(160)))))
        target += rng.uniform(0.1 * side, 0.9 * side, 2).astype(np.float32)
        boxes = [(q.min(0), q.max(0)) for q in placed]
        low, high = target.min(0) - 8, target.max(0) + 8
        if not any((low < b[1]).all() and (high > b[0]).all() for b in boxes):
            paste(image, target, rng, light=float(rng.uniform(70, 250)))
            placed.append(target)
    return np.array(placed, np.float32).reshape(-1, 4, 2)


def to_sample(image: Image, corners: npt.NDArray[np.float32], exact: bool) -> Sample:
    """A cut and its plates as tensors.

    Args:
        image: SxSx3 uint8 BGR.
        corners: Nx4x2 pixels.
        exact: Whether the corners are true, or only those of an axis-aligned box.

    Returns:
        ``image`` 3xSxS uint8; ``heat`` S/8 x S/8, 1 at plates' centres; ``ignore`` 1 where
        nothing is asked; ``corners`` 8xS/8xS/8 offsets; ``weight`` where they count; ``exact``.
    """
    cells = image.shape[0] // STRIDE
    heat = np.zeros((cells, cells), np.float32)
    ignore = np.zeros((cells, cells), np.float32)
    offsets = np.zeros((8, cells, cells), np.float32)
    weight = np.zeros((cells, cells), np.float32)
    ys, xs = np.mgrid[0:cells, 0:cells].astype(np.float32)
    px, py = (xs + 0.5) * STRIDE, (ys + 0.5) * STRIDE
    for quad in corners:
        low, high = quad.min(0), quad.max(0)
        cx, cy = (low + high) / 2
        w, h = high - low
        inside = (px >= low[0]) & (px <= high[0]) & (py >= low[1]) & (py <= high[1])
        if not (0 <= cx < image.shape[1] and 0 <= cy < image.shape[0]):
            ignore[inside] = 1
            continue
        column, row = int(cx // STRIDE), int(cy // STRIDE)
        if w < _LEAST_SEEN:
            ignore[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = 1
            continue
        spread_x, spread_y = max(0.12 * w, 0.55 * STRIDE), max(0.2 * h, 0.55 * STRIDE)
        bump = np.exp(-(((px - cx) / spread_x) ** 2 + ((py - cy) / spread_y) ** 2) / 2)
        heat = np.maximum(heat, np.where(bump > 0.02, bump, 0))
        heat[row, column] = 1
        near = (np.abs(px - cx) <= max(0.15 * w, 0.9 * STRIDE)) & (
            np.abs(py - cy) <= max(0.25 * h, 0.9 * STRIDE)
        )
        delta = quad.reshape(8)[:, None, None] - np.tile(np.stack([px, py]), (4, 1, 1))
        offsets[:, near] = delta[:, near] / OFFSET_SCALE
        weight[near] = OFFSET_SCALE / max(16.0, float(w))  # errors count as shares of the width
    return {
        "image": torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
        "heat": torch.from_numpy(heat),
        "ignore": torch.from_numpy(ignore),
        "offsets": torch.from_numpy(offsets),
        "weight": torch.from_numpy(weight),
        "exact": torch.tensor(float(exact)),
    }


def _look(seed: int) -> Any:
    """Light, colour, blur, noise, weather and compression; nothing that moves a pixel."""
    return A.Compose(
        [
            A.OneOf([A.RandomGamma((45, 200)), A.RandomBrightnessContrast(0.35, 0.4)], p=0.6),
            A.HueSaturationValue(12, 35, 0, p=0.3),
            A.ToGray(p=0.12),
            A.OneOf(
                [A.MotionBlur(blur_limit=(3, 7)), A.GaussianBlur(sigma_limit=(0.4, 1.5))], p=0.3
            ),
            A.OneOf([A.GaussNoise(std_range=(0.01, 0.07)), A.ISONoise()], p=0.25),
            A.OneOf([A.RandomRain(p=1), A.RandomFog(p=1, fog_coef_range=(0.1, 0.4))], p=0.04),
            A.ImageCompression(quality_range=(25, 90), p=0.4),
        ],
        seed=seed,
    )
