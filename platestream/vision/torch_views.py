"""Views of pictures that lie on a torch device, made there, many at once.

They are as near to OpenCV's views as rounding lets them be. Where views are smaller than what they
show, and OpenCV smooths first, they are made of several samples for each of their pixels instead:
much the same to look at, not bit for bit.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from platestream.colour import Colour
from platestream.conversion import yuv_to_bgr
from platestream.vision.close_up import CLOSE_UP, SMOOTHED_FROM, SMOOTHING
from platestream.vision.device_memory import to_device
from platestream.vision.geometry import SMALLER_FROM
from platestream.vision.heatmap import GRID
from platestream.vision.layout import line_rows
from platestream.vision.letterbox import GREY
from platestream.vision.plate_image import LEAST_SPREAD

_PLANES_AT_ONCE = 2**24  # pixels made BGR at once
_MOST_SAMPLES = 8  # along each side, for a pixel of a flat plate
_FINEST = 4  # samples along each side for a pixel of a close-up; from there on it halves first
_GREY_WEIGHTS = (0.114, 0.587, 0.299)  # of blue, green and red: ITU-R BT.601, as OpenCV has it


@torch.inference_mode()
def bgr_of_planes(planes: Tensor, colour: Colour) -> Tensor:
    """NxHxWx3 uint8 of planes, Nx(H*3/2)xW uint8: each chroma sample for its four pixels."""
    count, rows, width = planes.shape
    height = rows * 2 // 3
    weights = yuv_to_bgr(colour).astype(np.float32)
    of_y, of_u, of_v, offset = (to_device(weights[:, i], planes.device) for i in range(4))
    image = torch.empty((count, height, width, 3), dtype=torch.uint8, device=planes.device)
    at_once = max(1, _PLANES_AT_ONCE // (width * height))
    for start in range(0, count, at_once):
        part = planes[start : start + at_once]
        half = (len(part), height // 2, 1, width // 2, 1, 1)
        u, v = part[:, height:].reshape(len(part), 2, -1).float().unbind(1)
        chroma = u.reshape(half) * of_u + v.reshape(half) * of_v + offset
        luma = part[:, :height].reshape(len(part), height // 2, 2, width // 2, 2, 1)
        bgr = _as_bytes(luma * of_y + chroma)
        image[start : start + at_once] = bgr.reshape(len(part), height, width, 3)
    return image


def _as_bytes(values: Tensor) -> Tensor:
    """Rounds to uint8."""
    return values.clamp(0, 255).add_(0.5).to(torch.uint8)


def _sampled(pictures: Tensor, which: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Colours between pixels, from the four round them; beyond a picture its edge goes on.

    Args:
        pictures: NxHxWxC uint8.
        which, x, y: Of each sample the picture, column and row; float32 but ``which``. They
            broadcast to one shape.

    Returns:
        Float32 of that shape, and C.
    """
    height, width = pictures.shape[1:3]
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    left, above = x.floor(), y.floor()
    to_right, down = (x - left)[..., None], (y - above)[..., None]
    x1, y1 = left.long(), above.long()
    x2, y2 = (x1 + 1).clamp(max=width - 1), (y1 + 1).clamp(max=height - 1)
    upper = torch.lerp(pictures[which, y1, x1].float(), pictures[which, y1, x2].float(), to_right)
    lower = torch.lerp(pictures[which, y2, x1].float(), pictures[which, y2, x2].float(), to_right)
    return torch.lerp(upper, lower, down)


@torch.inference_mode()
def letterboxed(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures as ``letterbox`` makes them, NxHxWx3 uint8.

    Args:
        pictures: NxHxWxC uint8.
        size: Width and height of what they become in it.
    """
    while pictures.shape[2] >= 2 * size[0] and pictures.shape[1] >= 2 * size[1]:
        pictures = _halved(pictures)
    count, height, width = pictures.shape[:3]
    x, y = (
        (torch.arange(now, device=pictures.device) + 0.5) * (before / now) - 0.5
        for now, before in zip(size, (width, height), strict=True)
    )
    which = torch.arange(count, device=pictures.device)[:, None, None]
    shape = (count, size[1] + -size[1] % GRID, size[0] + -size[0] % GRID, 3)
    boxed = torch.full(shape, GREY, dtype=torch.uint8, device=pictures.device)
    boxed[:, : size[1], : size[0]] = _as_bytes(_sampled(pictures, which, x, y[:, None]))
    return boxed


def _halved(pictures: Tensor) -> Tensor:
    """Pictures half as wide and high, each pixel the mean of what it covers; NxHxWxC uint8."""
    count, height, width, colours = pictures.shape
    if width % 2 or height % 2:
        as_planes = pictures.permute(0, 3, 1, 2).float()
        small = _resized(as_planes, max(1, width // 2), max(1, height // 2), area=True)
        return _as_bytes(small).permute(0, 2, 3, 1).contiguous()
    pairs = pictures.reshape(count, height // 2, 2, width // 2, 2, colours)
    columns = pairs[:, :, 0].to(torch.int16) + pairs[:, :, 1]
    return ((columns[:, :, :, 0] + columns[:, :, :, 1] + 2) >> 2).to(torch.uint8)


def zoom(scale: float) -> tuple[int, int]:
    """How a close-up of so many of the picture's pixels in one of its own is made.

    Returns:
        How often the picture is halved before, and how many samples along each side make a pixel.
    """
    if scale <= SMOOTHED_FROM:
        return 0, 1
    samples, halvings = 2, 0
    while samples * 2**halvings < scale:
        if samples < _FINEST:
            samples *= 2
        else:
            halvings += 1
    return halvings, samples


def enlarged(
    pictures: Tensor,
    which: Tensor,
    matrices: npt.NDArray[np.float64],
    halvings: int,
    samples: int,
) -> Tensor:
    """Plates as ``close_up`` shows them, Mx128x256x3 uint8.

    Args:
        pictures: NxHxWxC uint8.
        which: M: which picture each is in.
        matrices: Mx2x3, from the view's pixels to the picture's.
        halvings, samples: See ``zoom``.
    """
    height, width = pictures.shape[1:3]
    for _ in range(halvings):
        pictures = _halved(pictures)
    small = np.array([pictures.shape[2] / width, pictures.shape[1] / height])
    steps, origins = matrices[:, 0, :1] * small, (matrices[:, :, 2] + 0.5) * small - 0.5
    beyond = 0 if samples == 1 else math.ceil(3 * SMOOTHING * samples)
    x, y = (
        to_device(
            (
                origins[:, axis, None]
                + steps[:, axis, None]
                * (np.arange(-beyond, samples * (side - 1) + beyond + 1) / samples)
            ).astype(np.float32),
            pictures.device,
        )
        for axis, side in enumerate(CLOSE_UP)
    )
    seen = _sampled(pictures, which[:, None, None], x[:, None, :], y[:, :, None])
    if samples > 1:
        across, down = (_smoothing(side, samples, beyond, pictures.device) for side in CLOSE_UP)
        seen = (down @ seen.permute(0, 3, 1, 2) @ across.T).permute(0, 2, 3, 1)
    return _as_bytes(seen).expand(-1, -1, -1, 3).contiguous()


@functools.lru_cache(maxsize=16)
def _smoothing(side: int, samples: int, beyond: int, device: torch.device) -> Tensor:
    """Takes samples along a side to its pixels, smoothed: side x samples float32."""
    at = np.arange(-beyond, samples * (side - 1) + beyond + 1)
    apart = at[None] - samples * np.arange(side)[:, None]
    weights = np.exp(-0.5 * (apart / (SMOOTHING * samples)) ** 2) * (np.abs(apart) <= beyond)
    return to_device((weights / weights.sum(1, keepdims=True)).astype(np.float32), device)


def samples_of(scale: float) -> int:
    """How many samples along each side make a pixel of a flat plate; see ``shrinking``."""
    if scale > SMALLER_FROM:
        return 1
    return min(_MOST_SAMPLES, 1 << math.ceil(math.log2(1 / scale)))


def flattened(
    pictures: Tensor,
    which: Tensor,
    matrices: npt.NDArray[np.float32],
    size: tuple[int, int],
    samples: int,
    scales: npt.NDArray[np.float64],
) -> Tensor:
    """Plates warped flat, MxHxWxC uint8.

    Args:
        pictures: NxHxWxC uint8.
        which: M: which picture each is in.
        matrices: Mx3x3, from the flat plate's pixels to the picture's.
        size: Width and height of the flat plates.
        samples: Along each side, for a pixel.
        scales: M: of each plate; see ``shrinking``.
    """
    width, height = size
    device = pictures.device
    u, v = (
        (torch.arange(side * samples, device=device) // samples).float() for side in (width, height)
    )
    if samples > 1:
        # OpenCV's way, smaller first and then warped, counts from where a pixel begins
        begins = to_device((0.5 * scales).astype(np.float32), device)[:, None, None]
        within = ((torch.arange(samples, device=device) + 0.5) / samples).float()
        u, v = ((one + within.repeat(side)) - begins for one, side in ((u, width), (v, height)))
    else:
        u, v = u[None, None], v[None, None]
    v = v.transpose(1, 2)
    m = to_device(matrices, device)[:, :, :, None, None]
    depth = m[:, 2, 0] * u + m[:, 2, 1] * v + m[:, 2, 2]
    x = (m[:, 0, 0] * u + m[:, 0, 1] * v + m[:, 0, 2]) / depth
    y = (m[:, 1, 0] * u + m[:, 1, 1] * v + m[:, 1, 2]) / depth
    seen = _sampled(pictures, which[:, None, None], x, y)
    if samples > 1:
        seen = seen.reshape(len(seen), height, samples, width, samples, -1).mean((2, 4))
    return _as_bytes(seen)


def grey_of(pictures: Tensor) -> Tensor:
    """NxHxW float32, whole numbers, of NxHxWxC uint8."""
    if pictures.shape[3] == 1:
        return pictures[..., 0].float()
    blue, green, red = pictures.float().unbind(3)
    of_blue, of_green, of_red = _GREY_WEIGHTS
    return (blue * of_blue + green * of_green + red * of_red).round()


def unstacked(grey: Tensor) -> Tensor:
    """Two lines side by side, as ``unstack`` puts them: NxHxW float32."""
    ends, begins = line_rows(grey.shape[1])
    upper, lower = grey[:, :ends], grey[:, begins:]
    if lower.shape[1] != ends:
        lower = _resized(lower, grey.shape[2], ends, area=False).round()
    return torch.cat([upper, lower], 2)


def line_of(grey: Tensor, width: int, height: int) -> Tensor:
    """Grey pictures as ``network_input`` makes them: NxHxW float32."""
    shrink = grey.shape[2] > width and grey.shape[1] > height
    line = _resized(grey, width, height, area=shrink).round()
    line = line - line.mean((1, 2), keepdim=True)
    spread = line.square().mean((1, 2), keepdim=True).sqrt()
    return line / spread.clamp(min=LEAST_SPREAD)


def _resized(pictures: Tensor, width: int, height: int, *, area: bool) -> Tensor:
    """Pictures, …xHxW float32, of another size, as OpenCV makes them but not rounded.

    Args:
        area: Pixels are the means of what they cover (``INTER_AREA``); else taken from between
            the two nearest (``INTER_LINEAR``).
    """
    down = _resizing(pictures.shape[-2], height, area, pictures.device)
    across = _resizing(pictures.shape[-1], width, area, pictures.device)
    return down @ pictures @ across.T


@functools.lru_cache(maxsize=64)
def _resizing(before: int, after: int, area: bool, device: torch.device) -> Tensor:
    """Takes so many pixels along a side to another number of them: after x before float32."""
    scale = before / after
    weights = np.zeros((after, before))
    rows = np.arange(after)
    if area:
        begins, ends = rows[:, None] * scale, (rows[:, None] + 1) * scale
        pixels = np.arange(before)
        weights = (np.minimum(ends, pixels + 1) - np.maximum(begins, pixels)).clip(0) / scale
    else:
        at = ((rows + 0.5) * scale - 0.5).clip(0, before - 1)
        first = np.floor(at).astype(int)
        weights[rows, first] = 1 - (at - first)
        weights[rows, np.minimum(first + 1, before - 1)] += at - first
    return to_device(weights.astype(np.float32), device)
