"""Synthetic plate crops, as a detector or a person would cut them out of a photograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from training.synthesis.camera import leaning, photograph, rolling_shutter
from training.synthesis.ground import ground, lamps
from training.synthesis.layout import LAYOUTS
from training.synthesis.paste import random_corners
from training.synthesis.plate import choose_layout, random_text, render_plate
from training.synthesis.surface import Mounted, mount

Image = npt.NDArray[np.uint8]
Corners = npt.NDArray[np.float32]

CROP_SIZE = (256, 64)  # width, height of a crop with one line of characters
SQUARE_SIZE = (128, 96)  # and with two
_ROLLING = 0.06  # of all crops: what passes a camera sideways, close by
_SCALES = (0.3, 0.42, 0.56)
# How often each kind is drawn; oftener than on the road, but for ru-1, so that each is learned.
SHARES = {
    "ru-1": 0.62, "ru-1b": 0.07, "ru-2": 0.05, "ru-police": 0.03, "ru-military": 0.025,
    "ru-military-trailer": 0.01, "ru-transit": 0.025, "ru-1a": 0.09, "ru-motorcycle": 0.05,
    "ru-tractor": 0.02, "ru-military-2": 0.01,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SyntheticCrop:
    """A crop and the truth about it.

    Attributes:
        image: HxWx3 uint8 BGR; 64x256 for one line of characters, 96x128 for two.
        text: In reading order, upper line first; empty where there is nothing to read.
        lines: Of characters: 1 or 2.
        corners: 4x2 float32 pixels of the crop, of the plate without its frame: top-left,
            top-right, bottom-right, bottom-left. They may lie a little outside.
    """

    image: Image
    text: str
    lines: int
    corners: Corners


def plate_crop(
    rng: np.random.Generator,
    grounds: Sequence[Image] = (),
    kind: str | None = None,
    *,
    lines: int | None = None,
) -> SyntheticCrop:
    """A plate of a random text as a camera would see it, tightly or loosely cropped.

    Args:
        grounds: Pictures without plates to put it on; drawn ones where there are none.
        kind: One of ``layout.KINDS``; any where not given, by ``SHARES``.
        lines: Only kinds with so many lines of characters, where no kind is given.

    Raises:
        ValueError: There is no such kind, or none with so many lines.
    """
    kind = kind or _any_kind(rng, lines)
    layout = choose_layout(kind, rng)
    text = random_text(rng, kind)
    corners = random_cut(rng, layout.size_mm, layout.lines)
    plate = render_plate(text, kind, px_per_mm=fitting_scale(corners, layout.size_mm), rng=rng,
                         layout=layout)  # fmt: skip
    mounted = mount(plate, rng, layout.size_mm[0])
    return photographed(mounted, corners, text, layout.lines, rng, grounds)


def _any_kind(rng: np.random.Generator, lines: int | None) -> str:
    kinds = [k for k in SHARES if lines is None or LAYOUTS[k][0].lines == lines]
    if not kinds:
        raise ValueError(f"no plate kind has {lines} lines")
    sums = np.cumsum([SHARES[k] for k in kinds])
    return kinds[int(np.searchsorted(sums, rng.random() * sums[-1], side="right"))]


def fitting_scale(corners: Corners, size_mm: tuple[float, float]) -> float:
    """Pixels per millimetre at which to draw a plate that is to fill ``corners``.

    There are three such scales only, so that the masks of characters are found again.
    """
    needed = float((np.ptp(corners, axis=0) / size_mm).max())
    return next((scale for scale in _SCALES if scale >= needed), _SCALES[-1])


def photographed(
    mounted: Mounted, corners: Corners, text: str, lines: int,
    rng: np.random.Generator, grounds: Sequence[Image],
) -> SyntheticCrop:  # fmt: skip
    """Puts a flat plate into a scene and takes a picture of it.

    Args:
        corners: Where the plate's corners shall be in the crop, but for what motion does.
        text: What the crop is said to read.
        lines: Of characters; they tell the crop's size.
    """
    size = CROP_SIZE if lines == 1 else SQUARE_SIZE
    matrix = cv2.getPerspectiveTransform(mounted.corners, corners)
    scene = ground(rng, grounds, size)
    _lay(scene, mounted.image, matrix, rng)
    if rng.random() < _ROLLING:
        scene, corners = _passing(scene, corners, rng)
    span = np.ptp(corners, axis=0)
    detail = float(min(1.0, span[0] / size[0], span[1] / size[1]))
    return SyntheticCrop(photograph(scene, rng, detail), text, lines, corners)


def _passing(scene: Image, corners: Corners, rng: np.random.Generator) -> tuple[Image, Corners]:
    """A scene that moves before a rolling shutter, and where the plate's corners are then.

    A plate that crosses a picture 1280 px wide in a quarter of a second moves by 5 px a
    millisecond; a sensor whose 720 rows are read in 20 ms sees it 0.14 px further on in every row.
    """
    height, width = scene.shape[:2]
    lean = float(rng.uniform(0.05, 0.3)) * height * (1 if rng.random() < 0.5 else -1)
    smear = 1 + int(rng.integers(0, 5) * np.ptp(corners[:, 0]) / width)
    moved = cv2.transform(corners[None].astype(np.float32), leaning(lean, height))[0]
    return rolling_shutter(scene, lean, smear), moved.astype(np.float32)


def random_cut(rng: np.random.Generator, size_mm: tuple[float, float], lines: int) -> Corners:
    """Where a plate's corners lie in a crop: seen at random, and cut out tightly or loosely.

    Args:
        size_mm: The plate's width and height.
        lines: Of characters; they tell the crop's size.
    """
    size = CROP_SIZE if lines == 1 else SQUARE_SIZE
    width, height = size
    if rng.random() < 0.3:  # cut out by corners, as the detector finds them: nearly straight
        margin_x, margin_y = rng.uniform(-0.015, 0.07, (2, 2)) * [[width / 2], [height]]
        flat = np.array([[margin_x[0], margin_y[0]], [width - margin_x[1], margin_y[0]],
                         [width - margin_x[1], height - margin_y[1]],
                         [margin_x[0], height - margin_y[1]]])  # fmt: skip
        return (flat + rng.normal(0, 0.03, (4, 2)) * height).astype(np.float32)
    roll = 0.06 if rng.random() < 0.75 else 0.2
    seen = random_corners(rng, 100.0, size_mm, roll=roll)
    low, high = seen.min(0), seen.max(0)
    box = high - low
    # the part of the picture that is cut out: how wide, and of what shape
    fill = float(rng.uniform(0.4, 0.85) if rng.random() < 0.35 else rng.uniform(0.8, 1.02))
    aspect = float(rng.uniform(2.2, 4.8) if lines == 1 else rng.uniform(1.1, 2.2))
    cut_x = box[0] / fill
    cut_y = max(cut_x / aspect, box[1] / float(rng.uniform(0.8, 1.02)))
    cut_y = min(cut_y, box[1] / 0.25)
    room = np.array([cut_x, cut_y]) - box
    place = np.clip(rng.normal(0.5, 0.25, 2), 0, 1) * room
    scale = np.array([width / cut_x, height / cut_y])
    return ((seen - low + place) * scale).astype(np.float32)


def _lay(
    scene: Image, picture: Image, matrix: npt.NDArray[np.float64], rng: np.random.Generator
) -> None:
    """Warps a picture onto a scene in the scene's light, or in that of a lamp at night, in place.

    The ground close to it is darker, as in the hollow that a plate sits in.
    """
    height, width = scene.shape[:2]
    outline = np.array([[[0, 0], [picture.shape[1], 0], [picture.shape[1], picture.shape[0]],
                         [0, picture.shape[0]]]], np.float32)  # fmt: skip
    quad = cv2.perspectiveTransform(outline, matrix)[0]
    alpha = np.zeros((height, width), np.uint8)
    points = np.rint(np.clip(quad, -2000, 2000) * 16).astype(np.int32)
    cv2.fillConvexPoly(alpha, points, 255, cv2.LINE_AA, shift=4)
    chance = rng.random(6)
    night = chance[0] < 0.1
    if night:  # the plate throws the lamp's light back, nothing else does
        around, light = float(rng.uniform(0.03, 0.3)), float(rng.uniform(0.7, 1.5))
    else:
        around, light = 1.0, float(rng.uniform(0.45, 1.08))
    if night or chance[1] > 0.4:
        hollow = float(rng.uniform(0.2, 0.7))
        depth = 2 * int(rng.integers(2, max(3, height // 8))) + 1
        shade = 255 - cv2.convertScaleAbs(cv2.blur(alpha, (depth, depth)), alpha=hollow)
        cv2.multiply(scene, cv2.merge([shade] * 3), scene, around / 255)
    # one side of the plate is brighter
    slope = np.linspace(255, float(rng.uniform(150, 255)), picture.shape[1])
    if chance[3] < 0.5:
        slope = slope[::-1]
    factors = np.repeat(slope.astype(np.uint8)[None], picture.shape[0], 0)
    lit = cv2.multiply(picture, cv2.merge([factors] * 3), scale=light / 240)
    warped = cv2.warpPerspective(lit, matrix, (width, height), flags=cv2.INTER_LINEAR,
                                 borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    share = alpha.astype(np.float32) / 255
    scene[:] = cv2.blendLinear(warped, scene, share, 1 - share)
    if night and chance[2] < 0.5:
        scene[:] = cv2.addWeighted(scene, 1, cv2.blur(scene, (15, 15)), float(chance[4]) * 0.6, 0)
    if night and chance[5] < 0.25:
        lamps(scene, rng, alpha)
