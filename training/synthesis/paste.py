"""Pastes plates into pictures, in perspective and in the light that is there."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from platestream.vision.geometry import bounding_box
from training.synthesis.layout import Layout
from training.synthesis.plate import PLATE_MM, random_text, render_plate
from training.synthesis.surface import mount

Image = npt.NDArray[np.uint8]
Corners = npt.NDArray[np.float32]

_STEEPEST = 1.2  # radians from the front; at a right angle it would be seen from behind, mirrored
_PX_PER_MM = (0.15, 1.2)  # that a plate is drawn with before it is warped


def random_corners(
    rng: np.random.Generator,
    width: float,
    size_mm: tuple[float, float] = PLATE_MM,
    *,
    roll: float = 0.07,
) -> Corners:
    """Corners of a plate seen at random from about the front, round the origin.

    Args:
        width: Of its axis-aligned box, in pixels.
        size_mm: The plate's width and height.
        roll: Standard deviation in radians of its turn in the picture.

    Returns:
        4x2 float32: top-left, top-right, bottom-right, bottom-left.
    """
    half = np.array(size_mm) / 2
    flat = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    yaw, pitch = np.clip([rng.normal(0, 0.45), rng.normal(0, 0.25)], -_STEEPEST, _STEEPEST)
    tilt = rng.normal(0, roll)
    x = flat[:, 0] * np.cos(yaw)
    z = flat[:, 0] * np.sin(yaw) + flat[:, 1] * np.sin(pitch)
    # from above and from beside at once its long sides climb, as at most gates
    y = flat[:, 1] * np.cos(pitch) + flat[:, 0] * np.sin(yaw) * np.sin(pitch)
    depth = 1 + z / rng.uniform(2000, 8000)  # of a camera so many plate millimetres away
    points = np.stack([x / depth, y / depth], 1)
    turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    points = points @ turn.T
    points[:, 1] += points[:, 0] * rng.normal(0, 0.08)  # seen from beside: the far end climbs
    points *= width / (points[:, 0].max() - points[:, 0].min())
    return (points - points.mean(0)).astype(np.float32)


def into_box(corners: Corners, box: npt.NDArray[np.float32]) -> Corners:
    """Moves and stretches corners so that their axis-aligned box is the one given."""
    x1, y1, x2, y2 = bounding_box(corners)
    scale = np.array(
        [(box[2] - box[0]) / max(1e-3, x2 - x1), (box[3] - box[1]) / max(1e-3, y2 - y1)]
    )
    return ((corners - [x1, y1]) * scale + box[:2]).astype(np.float32)


def paste(image: Image, corners: Corners, rng: np.random.Generator, *, light: float) -> None:
    """Puts a plate with a random text into a picture, in place.

    Args:
        image: HxWx3 uint8 BGR.
        corners: Where its corners shall be.
        light: How bright the plate's white shall be, 0 to 255.
    """
    kind = "ru-1" if rng.random() < 0.9 else str(rng.choice(["ru-1b", "ru-2", "ru-police"]))
    draw(image, corners, kind, rng, light=light)


def draw(
    image: Image,
    corners: Corners,
    kind: str,
    rng: np.random.Generator,
    *,
    light: float,
    layout: Layout | None = None,
) -> str:
    """Puts a plate of a type with a random text into a picture, in place.

    Args:
        image: HxWx3 uint8 BGR.
        corners: Where its corners shall be; what frames it lies round them.
        light: How bright the plate's white shall be, 0 to 255.
        layout: The type's; without it one of its layouts.

    Returns:
        The text.
    """
    size_mm = PLATE_MM if layout is None else layout.size_mm
    x1, _, x2, _ = bounding_box(corners)
    px_per_mm = float(np.clip(1.6 * (x2 - x1) / size_mm[0], *_PX_PER_MM))
    text = random_text(rng, kind)
    plate = render_plate(text, kind, px_per_mm=px_per_mm, rng=rng, layout=layout)
    mounted = mount(plate, rng, size_mm[0])
    height, width = mounted.image.shape[:2]
    outline = np.array([[[0, 0], [width, 0], [width, height], [0, height]]], np.float32)
    matrix = cv2.getPerspectiveTransform(mounted.corners, corners.astype(np.float32))
    framed = cv2.perspectiveTransform(outline, matrix)[0].astype(np.float32)
    picture = shade(mounted.image, rng, light)
    composite(image, picture, framed, blur=float(rng.uniform(0.3, 1.1)))
    return text


def shade(plate: Image, rng: np.random.Generator, light: float) -> Image:
    """Dims a clean plate to the light of a picture, unevenly, and lifts its blacks."""
    height, width = plate.shape[:2]
    slope = 1 + rng.normal(0, 0.12) * np.linspace(-1, 1, width)[None, :, None]
    lifted = plate * (1 - rng.uniform(0, 0.25)) + rng.uniform(0, 50)
    dimmed = lifted * slope * light / 245 + rng.normal(0, 3, (height, width, 1))
    return np.clip(dimmed, 0, 255).astype(np.uint8)


def composite(image: Image, picture: Image, corners: Corners, blur: float = 0.0) -> None:
    """Warps a flat picture to corners of another and lays it over it, in place.

    Args:
        image: HxWx3 uint8 BGR.
        picture: The flat one, likewise.
        blur: Standard deviation in pixels of a blur of both, so that the edge is not cut out.
    """
    x1, y1, x2, y2 = bounding_box(corners)
    pad = 4
    left, top = max(0, int(x1) - pad), max(0, int(y1) - pad)
    right = min(image.shape[1], int(np.ceil(x2)) + pad)
    bottom = min(image.shape[0], int(np.ceil(y2)) + pad)
    if right - left < 2 or bottom - top < 2:
        return
    height, width = picture.shape[:2]
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    target = (corners - [left, top]).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(source, target)
    size = (right - left, bottom - top)
    warped = cv2.warpPerspective(picture, matrix, size, flags=cv2.INTER_LINEAR,
                                 borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    mask = cv2.warpPerspective(np.full((height, width), 1, np.float32), matrix, size)
    if blur > 0:
        warped = cv2.GaussianBlur(warped, (0, 0), blur)
        mask = cv2.GaussianBlur(mask, (0, 0), max(0.3, 0.5 * blur))
    part = image[top:bottom, left:right]
    part[:] = (part * (1 - mask[..., None]) + warped * mask[..., None]).astype(np.uint8)
