"""Canvas: pictures, and all views of them that the networks are given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from platestream.picture import I420, Picture, bgr
from platestream.vision.close_up import close_up
from platestream.vision.flat_plate import flatten
from platestream.vision.geometry import Box, Corners
from platestream.vision.layout import unstack
from platestream.vision.letterbox import letterbox
from platestream.vision.plate_image import network_input
from platestream.vision.tiling import Tile

Image = npt.NDArray[np.uint8]
Pictures = Sequence[Picture]  # an Image may be grey here: HxW uint8
_P = TypeVar("_P", bound=Picture)


class Letterboxes(NamedTuple):
    """Parts of pictures at one size.

    Attributes:
        members: Which of the looks that were asked for.
        scales: Of each, the network's pixels for one of the picture's.
        batch: NxHxWx3 uint8 BGR, where the network takes it.
    """

    members: list[int]
    scales: list[float]
    batch: Any


class CloseUps(NamedTuple):
    """Plates enlarged.

    Attributes:
        batch: Nx128x256x3 uint8 BGR, where the network takes it.
        matrices: Nx2x3: of each, what takes its pixels back to the picture's.
    """

    batch: Any
    matrices: npt.NDArray[np.float64]


class Canvas(ABC):
    """Pictures where views of them are made: in main memory, or on a network's own device.

    Batches of views are what ``Backend`` takes: arrays, or tensors on its device. Pictures are
    counted from 0, and any may be asked for any number of times.
    """

    close_ups_at_once: int
    """How many are best made, and looked at, in one go."""

    @property
    @abstractmethod
    def shapes(self) -> list[tuple[int, int]]:
        """Height and width of each picture, in pixels."""

    @abstractmethod
    def only(self, numbers: Sequence[int]) -> Canvas:
        """The canvas of some of the pictures, in this order; nothing is copied."""

    @abstractmethod
    def letterboxes(self, looks: Sequence[tuple[int, Tile, int]]) -> Iterator[Letterboxes]:
        """Parts of pictures as ``letterbox`` makes them, in batches of one size.

        Args:
            looks: Of each the picture's number, the part, which lies within it, and the long side.
        """

    @abstractmethod
    def close_ups(self, places: Sequence[tuple[int, Box]], share: float) -> CloseUps:
        """Plates as ``close_up`` shows them; at least one.

        Args:
            places: Of each the picture's number, and x1, y1, x2, y2 of the plate.
            share: Of the view's width that the plate takes.
        """

    @abstractmethod
    def flatten(self, plates: Sequence[tuple[int, Corners]]) -> Canvas:
        """The canvas of plates warped flat, as ``flat_plate.flatten`` does it.

        Raises:
            ValueError: Some corners do not span a quadrilateral.
        """

    @abstractmethod
    def lines(self, wanted: Sequence[tuple[int, int]], width: int, height: int) -> Any:
        """Pictures of plates as the recognizer's network takes them; at least one.

        Args:
            wanted: Of each the picture's number, and as how many lines, 1 or 2, it is read.

        Returns:
            Nx1xHxW float32, see ``network_input``.
        """

    @abstractmethod
    def images(self) -> list[Image]:
        """The pictures in main memory: HxWx3 uint8 BGR, or HxW uint8 grey."""


class CpuCanvas(Canvas):
    """Pictures in main memory, views made by OpenCV, one after the other."""

    close_ups_at_once = 16

    def __init__(self, pictures: Pictures | Canvas) -> None:
        """Takes pictures: HxWx3 uint8 BGR, HxW uint8 grey, or planes; or those of a canvas.

        Raises:
            ValueError: One is empty, or of another shape or type.
        """
        if isinstance(pictures, Canvas):
            self._images = pictures.images()
        else:
            self._images = [check(bgr(picture)) for picture in pictures]

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """See ``Canvas``."""
        return [(image.shape[0], image.shape[1]) for image in self._images]

    def only(self, numbers: Sequence[int]) -> CpuCanvas:
        """See ``Canvas``."""
        return CpuCanvas([self._images[i] for i in numbers])

    def letterboxes(self, looks: Sequence[tuple[int, Tile, int]]) -> Iterator[Letterboxes]:
        """See ``Canvas``."""
        scaled = [
            letterbox(self._images[i][part.y1 : part.y2, part.x1 : part.x2], long_side)
            for i, part, long_side in looks
        ]
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for index, (picture, _) in enumerate(scaled):
            by_shape.setdefault(picture.shape, []).append(index)
        for members in by_shape.values():
            batch = np.stack([scaled[i][0] for i in members])
            yield Letterboxes(members, [scaled[i][1] for i in members], batch)

    def close_ups(self, places: Sequence[tuple[int, Box]], share: float) -> CloseUps:
        """See ``Canvas``."""
        views = [close_up(self._images[i], box, share) for i, box in places]
        return CloseUps(
            np.stack([view for view, _ in views]), np.stack([back for _, back in views])
        )

    def flatten(self, plates: Sequence[tuple[int, Corners]]) -> CpuCanvas:
        """See ``Canvas``."""
        return CpuCanvas([flatten(self._images[i], corners) for i, corners in plates])

    def lines(
        self, wanted: Sequence[tuple[int, int]], width: int, height: int
    ) -> npt.NDArray[np.float32]:
        """See ``Canvas``."""
        views = [unstack(self._images[i]) if count == 2 else self._images[i] for i, count in wanted]
        return np.stack([network_input(view, width, height) for view in views])[:, None]

    def images(self) -> list[Image]:
        """See ``Canvas``."""
        return list(self._images)


def several(pictures: Sequence[_P]) -> list[_P]:
    """The pictures of a sequence; an array NxHxWx3 is one.

    Raises:
        ValueError: It is a single picture, whose rows would be taken for pictures.
    """
    if isinstance(pictures, I420) or (isinstance(pictures, np.ndarray) and pictures.ndim < 4):
        raise ValueError("a sequence of pictures is wanted; put a single one into a list")
    return list(pictures)


def check(image: Image) -> Image:
    """Refuses what is not a picture.

    Raises:
        ValueError: It is no array, empty, or not HxW or HxWx3 uint8.
    """
    if not isinstance(image, np.ndarray):
        raise ValueError(f"a picture is wanted, as an array of numpy, not {type(image).__name__}")
    shape_fits = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if image.dtype != np.uint8 or not shape_fits or image.size == 0:
        raise ValueError(
            f"a picture of shape {image.shape} and type {image.dtype}; HxWx3 (BGR) or HxW uint8 "
            "is wanted, and not empty"
        )
    return image
