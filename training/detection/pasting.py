"""Plates and what looks like them, put into views: drawn ones, photographed ones, lettering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from platestream.vision.geometry import bounding_box, warp_plate
from training.detection.views import View
from training.synthesis.lettering import ink, line_of_text, telephone, word
from training.synthesis.paste import composite, draw, into_box, random_corners
from training.synthesis.plate import choose_layout

Image = npt.NDArray[np.uint8]
Corners = npt.NDArray[np.float32]

# Oftener than on the road, but for ru-1, so that each is learned.
_KINDS = {
    "ru-1": 0.6, "ru-1b": 0.04, "ru-2": 0.05, "ru-police": 0.02, "ru-military": 0.02,
    "ru-transit": 0.02, "ru-1a": 0.16, "ru-motorcycle": 0.06, "ru-tractor": 0.02,
    "ru-military-2": 0.01,
}  # fmt: skip
_MARGIN = 0.08  # of what lies round a photographed plate is pasted with it
_WIDEST = 640  # pixels of a photographed plate kept in memory


@dataclass(frozen=True, slots=True, eq=False)
class RealPlate:
    """A photographed plate, flat: HxWx3 uint8 BGR with a margin of ``_MARGIN`` on each side."""

    image: Image


def flatten(image: Image, corners: Corners) -> RealPlate | None:
    """Cuts a plate out of its photograph; None if its corners span none."""
    width = float(np.linalg.norm(corners[1] - corners[0]))
    height = float(np.linalg.norm(corners[3] - corners[0]))
    if width < 40 or height < 8:
        return None
    scale = min(1.0, _WIDEST / width) * (1 + 2 * _MARGIN)
    size = (round(width * scale), round(height * scale))
    return RealPlate(warp_plate(image, corners, size, _MARGIN))


def paint_synthetic(
    image: Image, box: npt.NDArray[np.float32], rng: np.random.Generator, *, light: float
) -> Corners:
    """Draws a plate of any kind where another one is, or shall be, in place.

    Args:
        image: HxWx3 uint8 BGR.
        box: x1, y1, x2, y2 of the plate that it covers.
        light: How bright its white shall be, 0 to 255.

    Returns:
        4x2 float32, its corners.
    """
    kind = str(rng.choice(list(_KINDS), p=np.array(list(_KINDS.values()))))
    layout = choose_layout(kind, rng)
    x1, y1, x2, y2 = (float(v) for v in box)
    target = random_corners(rng, x2 - x1, layout.size_mm)
    if layout.lines == 1 and 2.5 < (x2 - x1) / max(1.0, y2 - y1) < 6:
        target = into_box(target, box)
    else:
        erase(image, box)
        if layout.lines > 1:
            target *= np.float32(rng.uniform(0.55, 1.0))
        target = target + np.float32([(x1 + x2) / 2, (y1 + y2) / 2])
    draw(image, target, kind, rng, light=light, layout=layout)
    return target.astype(np.float32)


def paint_real(
    image: Image,
    plate: RealPlate,
    box: npt.NDArray[np.float32],
    rng: np.random.Generator,
    *,
    light: float,
) -> Corners:
    """Puts a photographed plate where another one is, in place; see ``paint_synthetic``."""
    height, width = plate.image.shape[:2]
    margin = _MARGIN / (1 + 2 * _MARGIN)
    dx, dy = width * margin, height * margin
    inner = np.array(
        [[dx, dy], [width - dx, dy], [width - dx, height - dy], [dx, height - dy]], np.float32
    )
    ratio = (width - 2 * dx) / max(1.0, height - 2 * dy)
    x1, y1, x2, y2 = (float(v) for v in box)
    if 2.5 < (x2 - x1) / max(1.0, y2 - y1) < 6:
        target = into_box(random_corners(rng, x2 - x1), box)
    else:
        erase(image, box)
        target = random_corners(rng, x2 - x1, (520.0, 520.0 / ratio))
        target = target + np.float32([(x1 + x2) / 2, (y1 + y2) / 2])
    picture = plate.image
    shrink = bounding_box(target)[2] - bounding_box(target)[0]
    if shrink * 1.5 < inner[1, 0] - inner[0, 0]:  # a warp alone would leave jagged edges
        factor = shrink * 1.5 / (inner[1, 0] - inner[0, 0])
        size = (max(4, round(width * factor)), max(4, round(height * factor)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
        inner = inner * np.float32([size[0] / width, size[1] / height])
        height, width = picture.shape[:2]
    white = max(20.0, float(np.percentile(picture, 90)))
    picture = np.clip(picture * (light / white), 0, 255).astype(np.uint8)
    outline = np.array([[[0, 0], [width, 0], [width, height], [0, height]]], np.float32)
    matrix = cv2.getPerspectiveTransform(inner, target.astype(np.float32))
    framed = cv2.perspectiveTransform(outline, matrix)[0].astype(np.float32)
    composite(image, picture, framed, blur=float(rng.uniform(0.2, 0.8)))
    return target.astype(np.float32)


def erase(image: Image, box: npt.NDArray[np.float32]) -> None:
    """Paints a box over with what lies above and below it: a car without its plate, in place."""
    height, width = image.shape[:2]
    x1, x2 = np.clip([box[0] - 2, box[2] + 2], 0, width).astype(int)
    y1, y2 = np.clip([box[1] - 2, box[3] + 2], 0, height).astype(int)
    if x2 - x1 < 1 or y2 - y1 < 1:
        return
    above = image[max(0, y1 - 3) : max(1, y1), x1:x2].mean(0)
    below = image[min(height - 1, y2) : y2 + 3, x1:x2].mean(0)
    share = np.linspace(0, 1, y2 - y1)[:, None, None]
    filled = above[None] * (1 - share) + below[None] * share
    image[y1:y2, x1:x2] = cv2.blur(filled.astype(np.uint8), (max(1, (x2 - x1) // 8), 1))


def paint_lettering(view: View, rng: np.random.Generator) -> None:
    """Writes words, telephones and numbers somewhere where no plate is, in place."""
    side = min(view.image.shape[:2])
    text = telephone(rng) if rng.random() < 0.4 else word(rng, 12)
    mask = line_of_text(rng, text, 40)
    pad = int(rng.integers(2, 24))
    mask = np.pad(mask, ((pad, pad), (pad, pad)))
    height, width = mask.shape
    target = random_corners(rng, float(np.exp(rng.uniform(np.log(30), np.log(0.7 * side)))),
                            (float(width), float(height)))  # fmt: skip
    target += (rng.uniform(0, 1, 2) * view.image.shape[1::-1]).astype(np.float32)
    low, high = target.min(0) - 6, target.max(0) + 6
    for quad in [*view.corners, *view.ignore.reshape(-1, 2, 2)]:
        if (low < quad.max(0)).all() and (high > quad.min(0)).all():
            return
    x, y = np.clip(target.mean(0), 0, np.array(view.image.shape[1::-1]) - 1).astype(int)
    here = view.image[y, x].astype(np.float64)
    ground = here if rng.random() < 0.35 else rng.uniform(0, 255, 3)
    if rng.random() < 0.25:
        ground = np.full(3, rng.uniform(150, 250))
    colour = np.full(3, 20.0) if ground.mean() > 110 else np.full(3, 230.0)
    if rng.random() < 0.4:
        colour = rng.uniform(0, 255, 3)
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = ground
    ink(picture, mask, 0, 0, colour)
    if rng.random() < 0.3:
        cv2.rectangle(picture, (1, 1), (width - 2, height - 2), colour.tolist(), 2)
    composite(view.image, picture, target, blur=float(rng.uniform(0.3, 1.0)))


def light_of(image: Image, box: npt.NDArray[np.float32]) -> float:
    """How bright the white of a plate in a box is, 0 to 255: its 90th percentile."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = np.clip(box, 0, [width - 1, height - 1] * 2).astype(int)
    patch = image[y1 : y2 + 1, x1 : x2 + 1]
    return float(np.percentile(patch[:: max(1, patch.shape[0] // 24)], 90)) if patch.size else 150.0


def repaint(view: View, plates: Sequence[RealPlate], real: float, rng: np.random.Generator) -> View:
    """Paints other plates over those of a view, and takes some away.

    Args:
        plates: Photographed ones.
        real: The share of photographed ones; the others are drawn.
    """
    image = view.image
    corners = view.corners.copy()
    known = view.known.copy()
    kept = np.ones(len(corners), bool)
    for index, quad in enumerate(corners):
        box = np.array(bounding_box(quad), np.float32)
        if rng.random() < 0.07:
            erase(image, box)
            kept[index] = False
            continue
        light = max(45.0, light_of(image, box) * float(rng.uniform(0.8, 1.15)))
        if plates and rng.random() < real:
            plate = plates[int(rng.integers(len(plates)))]
            corners[index] = paint_real(image, plate, box, rng, light=light)
            known[index] = 0.5
        else:
            corners[index] = paint_synthetic(image, box, rng, light=light)
            known[index] = 1.0
    return View(image, corners[kept], known[kept], view.ignore)
