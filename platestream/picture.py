"""Pictures: BGR, or planes as video codecs have them (I420), of which half as much travels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from platestream import conversion
from platestream.colour import BT601, Colour

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

Image = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class I420:
    """Planes with 4:2:0 chroma; both sides are even.

    Attributes:
        y: HxW uint8. u, v: (H/2)x(W/2) uint8. Rows may lie apart.
        colour: What they mean.
        block: All three in one piece, in that order, (H*3/2)xW uint8; None where they are not.
    """

    y: Image
    u: Image
    v: Image
    colour: Colour = BT601
    block: Image | None = None

    @property
    def planes(self) -> tuple[Image, Image, Image]:
        """Y, U and V."""
        return self.y, self.u, self.v


Picture = Image | I420  # an Image is HxWx3 uint8 BGR


class Form(NamedTuple):
    """What a picture looks like in memory.

    Attributes:
        width, height: In pixels.
        colour: Of planes (``I420``); None: it is BGR.
    """

    width: int
    height: int
    colour: Colour | None = None

    @property
    def size(self) -> int:
        """How many bytes it takes."""
        pixels = self.width * self.height
        return 3 * pixels if self.colour is None else pixels + pixels // 2

    def over(self, memory: Image) -> Picture:
        """The picture that lies in memory: flat uint8, as many bytes as ``size`` says."""
        width, height = self.width, self.height
        if self.colour is None:
            return memory.reshape(height, width, 3)
        luma, chroma = width * height, width * height // 4
        half = (height // 2, width // 2)
        return I420(
            memory[:luma].reshape(height, width),
            memory[luma : luma + chroma].reshape(half),
            memory[luma + chroma :].reshape(half),
            self.colour,
            memory.reshape(height + height // 2, width),
        )

    def empty(self) -> Picture:
        """A picture with anything in it."""
        return self.over(np.empty(self.size, np.uint8))


def form_of(picture: Picture) -> Form:
    """What a picture looks like in memory, in one piece."""
    if isinstance(picture, I420):
        return Form(picture.y.shape[1], picture.y.shape[0], picture.colour)
    return Form(picture.shape[1], picture.shape[0])


def copy(picture: Picture, into: Picture | None = None) -> Picture:
    """Copies a picture.

    Args:
        into: Where to, of the same form; none: into memory of its own, in one piece.
    """
    target = form_of(picture).empty() if into is None else into
    if isinstance(picture, I420):
        assert isinstance(target, I420)
        if picture.block is not None and target.block is not None:
            np.copyto(target.block, picture.block)
        else:
            for ours, theirs in zip(target.planes, picture.planes, strict=True):
                np.copyto(ours, theirs)
    else:
        assert not isinstance(target, I420)
        np.copyto(target, picture)
    return target


def memory_of(picture: Picture) -> Image:
    """A picture's bytes in one piece; copied where they are not."""
    if isinstance(picture, I420):
        if picture.block is not None:
            return picture.block
        return np.concatenate([plane.reshape(-1) for plane in picture.planes])
    return np.ascontiguousarray(picture)


def bgr(picture: Picture) -> Image:
    """A picture as HxWx3 uint8 BGR, made by FFmpeg from planes; BGR is returned as it is."""
    if not isinstance(picture, I420):
        return picture
    # one thread: others are woken for longer than they would work
    image = video_frame(picture).to_ndarray(format="bgr24", threads=1)
    return image.astype(np.uint8, copy=False)


def i420(image: Image, colour: Colour) -> I420:
    """Planes of HxWx3 uint8 BGR, both sides even."""
    return I420(*conversion.from_bgr(image, colour), colour)


def video_frame(picture: I420) -> VideoFrame:
    """Planes as FFmpeg's frame, their colour noted in it; it shares their memory where it can."""
    from av.video.frame import VideoFrame  # who only hands pictures on needs no FFmpeg

    height, width = picture.y.shape
    # PyAV takes a block's height for a multiple of four rows
    if picture.block is not None and height % 4 == 0:
        frame = VideoFrame.from_numpy_buffer(picture.block, format="yuv420p")
    else:
        frame = VideoFrame(width, height, "yuv420p")
        for plane, ours in zip(frame.planes, picture.planes, strict=True):
            rows = np.frombuffer(cast("Any", plane), np.uint8).reshape(-1, plane.line_size)
            np.copyto(rows[: ours.shape[0], : ours.shape[1]], ours)
    frame.colorspace = picture.colour.matrix_code
    frame.color_range = picture.colour.range_code
    return frame


@contextmanager
def patch(picture: Picture, box: Box) -> Iterator[tuple[Image, int, int]]:
    """A part of a picture as BGR to draw on; what was drawn is in the picture after the block.

    Of planes, what is looked at and written again begins and ends at even rows and columns.

    Args:
        box: Left, top, right, bottom (one further), in pixels; may reach out of the picture.

    Yields:
        HxWx3 uint8 BGR, empty if nothing of the box is in the picture; the column and the row of
        the picture where it begins.
    """
    width, height, colour = form_of(picture)
    left, top = (min(max(0, at), side) for at, side in zip(box[:2], (width, height), strict=True))
    right, bottom = (min(max(0, a), s) for a, s in zip(box[2:], (width, height), strict=True))
    right, bottom = max(left, right), max(top, bottom)
    if not isinstance(picture, I420):
        yield picture[top:bottom, left:right], left, top
        return
    assert colour is not None
    left, top, right, bottom = left & -2, top & -2, right + right % 2, bottom + bottom % 2
    if left == right or top == bottom:
        yield np.empty((0, 0, 3), np.uint8), left, top
        return
    y = picture.y[top:bottom, left:right]
    u, v = (p[top // 2 : bottom // 2, left // 2 : right // 2] for p in (picture.u, picture.v))
    image = conversion.to_bgr(y, u, v, colour)
    yield image, left, top
    for ours, drawn in zip((y, u, v), conversion.from_bgr(image, colour), strict=True):
        np.copyto(ours, drawn)
