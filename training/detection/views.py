"""Views: cuts of photographs under any perspective, with the plates that lie in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from training.detection.photos import Photo

Image = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float32]
Quads = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

_LEAST_SEEN, _WHOLE = 0.35, 0.97  # shares of a plate's box within a view
PSEUDO = 0.5  # how far corners that a detector has fitted are trusted
_MIRRORED = [1, 0, 3, 2]
_SLANTED_SHARE, _SLANTED, _MOST_SLANTED = 0.2, 0.1, 0.45  # the last two in radians
_ASIDE_SHARE, _STEEPEST, _HIGHEST = 0.25, 0.85, 0.6  # seen from beside and above; in radians


@dataclass
class View:
    """A picture to train on, and what is in it.

    Attributes:
        image: HxWx3 uint8 BGR.
        corners: Nx4x2 float32 pixels.
        known: N, 0 to 1: how far the corners are trusted; where 0, only their box is.
        ignore: Mx4 boxes in which nothing is asked.
    """

    image: Image
    corners: Quads
    known: npt.NDArray[np.float32]
    ignore: Boxes


class Pyramid:
    """A photograph at its own size, a half and a quarter, so that cuts of it are quick."""

    def __init__(self, photo: Photo) -> None:
        self.photo = photo
        half = cv2.resize(photo.image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        quarter = cv2.resize(half, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        self._levels = [photo.image, half.astype(np.uint8), quarter.astype(np.uint8)]
        x1, y1, x2, y2 = (photo.boxes[:, i] for i in range(4))
        boxes = np.stack([x1, y1, x2, y1, x2, y2, x1, y2], 1).reshape(-1, 4, 2)
        corners = photo.corners
        if corners is None:
            corners = np.full_like(boxes, np.nan)
        fitted = np.isfinite(corners).all((1, 2))
        self.corners = np.where(fitted[:, None, None], corners, boxes).astype(np.float32)
        self.known = np.where(fitted, PSEUDO, 0.0).astype(np.float32)

    @property
    def tilts(self) -> bool:
        """Whether the photograph may be turned: a turned box says nothing of its plate."""
        return bool((self.known > 0).all())

    def cut(self, matrix: Matrix, under: View) -> View:
        """Draws the photograph over a view.

        Args:
            matrix: 3x3, from the photograph's pixels to the cut's.
            under: What the photograph does not cover stays. Its image is drawn on.
        """
        height, width = under.image.shape[:2]
        rows, columns = self.photo.image.shape[:2]
        outline = transform(_quads(np.array([[0, 0, columns, rows]], np.float32)), matrix)[0]
        under = _covered(under, outline)
        scale = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
        level = 0 if scale > 0.7 else 1 if scale > 0.35 else 2
        shrunk = 2.0**level
        down = np.array([[shrunk, 0, (shrunk - 1) / 2], [0, shrunk, (shrunk - 1) / 2], [0, 0, 1]])
        cv2.warpPerspective(
            self._levels[level],
            matrix @ down,
            (width, height),
            dst=under.image,
            flags=cv2.INTER_LINEAR if scale < 2 else cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_TRANSPARENT,
        )
        ignore = [_around(q) for q in transform(_quads(self.photo.ignore), matrix)]
        mine = View(
            under.image,
            np.concatenate([under.corners, transform(self.corners, matrix)]),
            np.concatenate([under.known, self.known]),
            np.concatenate([under.ignore, np.array(ignore, np.float32).reshape(-1, 4)]),
        )
        return clip(mine)


def empty(image: Image) -> View:
    """A picture without plates as a view."""
    nothing = np.zeros((0, 4), np.float32)
    return View(image, nothing.reshape(-1, 4, 2), np.zeros(0, np.float32), nothing)


def _covered(view: View, outline: npt.NDArray[np.float32]) -> View:
    """Takes away the plates under an outline; those partly under it are to be ignored."""
    kept, partly = [], []
    for index, quad in enumerate(view.corners):
        points = [*quad, quad.mean(0)]
        under = [cv2.pointPolygonTest(outline, (float(x), float(y)), False) >= 0 for x, y in points]
        if not any(under):
            kept.append(index)
        elif not all(under):
            partly.append(_around(quad))
    ignore = np.concatenate([view.ignore, np.array(partly, np.float32).reshape(-1, 4)])
    return View(view.image, view.corners[kept], view.known[kept], ignore)


def clip(view: View) -> View:
    """Cuts off what sticks out of a view.

    Of a plate that is cut the box of what is seen is known, as photographs have it whose edge
    cuts a plate. Those of which little is seen become places to ignore.
    """
    height, width = view.image.shape[:2]
    boxes = np.array([_around(q) for q in view.corners], np.float32).reshape(-1, 4)
    inside = np.clip(boxes, 0, [width, height, width, height]).astype(np.float32)
    seen = _area(inside) / np.maximum(_area(boxes), 1e-6)
    cut, kept = seen < _WHOLE, seen >= _LEAST_SEEN
    corners = np.where(cut[:, None, None], _quads(inside), view.corners).astype(np.float32)
    known = np.where(cut, 0.0, view.known).astype(np.float32)
    ignore = np.concatenate([view.ignore, boxes[~kept]])
    ignore = np.clip(ignore, 0, [width, height, width, height]).astype(np.float32)
    return View(view.image, corners[kept], known[kept], ignore[_area(ignore) > 0])


def _area(boxes: Boxes) -> npt.NDArray[np.float32]:
    return np.asarray(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), np.float32)


def placing(
    rng: np.random.Generator,
    point: npt.NDArray[np.float64],
    scale: float,
    target: npt.NDArray[np.float64],
    *,
    tilt: bool,
) -> Matrix:
    """A random perspective that takes a point of a photograph to one of a cut.

    Args:
        point: x, y in the photograph.
        scale: Pixels of the cut for one of the photograph, at the point.
        target: x, y in the cut.
        tilt: Whether it may turn and shear, not only stretch.
    """
    stretch = np.exp(rng.normal(0, 0.06))
    linear = np.diag([scale * stretch, scale])
    leaning = np.zeros(2)
    if tilt:
        kind = rng.random()
        if kind < _ASIDE_SHARE:
            linear = _aside(rng) @ linear
        slanted = _ASIDE_SHARE <= kind < _ASIDE_SHARE + _SLANTED_SHARE
        angle = rng.uniform(-_MOST_SLANTED, _MOST_SLANTED) if slanted else (
            rng.normal(0, _SLANTED))  # fmt: skip
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shear = np.array([[1, rng.normal(0, 0.08)], [rng.normal(0, 0.08), 1]])
        linear = turn @ shear @ linear
        leaning = rng.normal(0, 1.5e-4, 2)  # per pixel of the cut
    home = np.array([[1, 0, -point[0]], [0, 1, -point[1]], [0, 0, 1]])
    middle = np.eye(3)
    middle[:2, :2] = linear
    lean = np.eye(3)
    lean[2, :2] = leaning
    back = np.array([[1, 0, target[0]], [0, 1, target[1]], [0, 0, 1]])
    return np.asarray(back @ lean @ middle @ home, np.float64)


def _aside(rng: np.random.Generator) -> Matrix:
    """2x2: what is seen from the front as from beside and above, its width kept.

    Level lines climb towards the far end, by as much as 33 degrees.
    """
    yaw = rng.uniform(-_STEEPEST, _STEEPEST)
    pitch = rng.uniform(0, _HIGHEST)
    narrowed = np.cos(yaw)
    return np.array(
        [[1, 0], [np.sin(yaw) * np.sin(pitch) / narrowed, np.cos(pitch) / narrowed]], np.float64
    )


def transform(quads: Quads, matrix: Matrix) -> Quads:
    """Moves Nx4x2 points by a 3x3 matrix."""
    if not len(quads):
        return quads.reshape(-1, 4, 2)
    moved = cv2.perspectiveTransform(quads.reshape(-1, 1, 2).astype(np.float64), matrix)
    return moved.reshape(-1, 4, 2).astype(np.float32)


def mirror(view: View) -> View:
    """Left for right; the corners' order stays as seen."""
    width = view.image.shape[1]
    corners = view.corners[:, _MIRRORED] * np.float32([-1, 1]) + np.float32([width, 0])
    ignore = view.ignore[:, [2, 1, 0, 3]] * np.float32([-1, 1, -1, 1])
    ignore = ignore + np.float32([width, 0, width, 0])
    return View(
        np.ascontiguousarray(view.image[:, ::-1]),
        corners.astype(np.float32),
        view.known,
        ignore.astype(np.float32),
    )


def tile(views: Sequence[View], columns: int) -> View:
    """Lays views of one size side by side, row by row."""
    height, width = views[0].image.shape[:2]
    rows = len(views) // columns
    image = np.zeros((rows * height, columns * width, 3), np.uint8)
    corners, ignore = [], []
    for index, view in enumerate(views[: rows * columns]):
        y, x = index // columns * height, index % columns * width
        image[y : y + height, x : x + width] = view.image
        corners.append(view.corners + np.float32([x, y]))
        ignore.append(view.ignore + np.float32([x, y, x, y]))
    return View(
        image,
        np.concatenate(corners).astype(np.float32),
        np.concatenate([view.known for view in views[: rows * columns]]),
        np.concatenate(ignore).astype(np.float32),
    )


def _quads(boxes: Boxes) -> Quads:
    return boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)


def _around(quad: Quads) -> list[float]:
    (x1, y1), (x2, y2) = quad.min(0), quad.max(0)
    return [x1, y1, x2, y2]
