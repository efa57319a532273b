"""TorchCanvas: pictures on a torch device, and all views of them made there, many at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from platestream import picture as pictures_
from platestream.colour import Colour
from platestream.picture import I420, Form, Picture
from platestream.vision.canvas import Canvas, CloseUps, Letterboxes, Pictures, check
from platestream.vision.close_up import CLOSE_UP, back_from_close_up
from platestream.vision.device_memory import staging, to_device, to_host
from platestream.vision.flat_plate import WARP_MARGIN, flat_size
from platestream.vision.geometry import Box, Corners, flat_corners, shrinking, spanning
from platestream.vision.letterbox import scaled_size
from platestream.vision.tiling import Tile
from platestream.vision.torch_views import (
    bgr_of_planes,
    enlarged,
    flattened,
    grey_of,
    letterboxed,
    line_of,
    samples_of,
    unstacked,
    zoom,
)

Image = npt.NDArray[np.uint8]
_Key = TypeVar("_Key")
_Group = int  # which of the tensors of pictures
_Place = tuple[_Group, int]  # and which of its pictures

_SAMPLES_AT_ONCE = 2**23  # of three colours; in float32 100 MB, of which there are some at once


class TorchCanvas(Canvas):
    """Pictures on a device, those of one shape together."""

    close_ups_at_once = 256

    def __init__(self, groups: list[Tensor], places: list[_Place], device: torch.device) -> None:
        """Takes what is on the device; ``of`` is the usual way.

        Args:
            groups: NxHxWxC uint8 each, C 3 (BGR) or 1 (grey).
            places: For each picture the group and its place there.
        """
        self.device = device
        self._groups = groups
        self._places = places

    @classmethod
    def of(cls, pictures: Pictures | Canvas, device: torch.device) -> TorchCanvas:
        """Puts pictures on a device, or those of another canvas; one that lies there stays.

        Raises:
            ValueError: One is empty, or of another shape or type.
        """
        if isinstance(pictures, TorchCanvas) and pictures.device == device:
            return pictures
        given = pictures.images() if isinstance(pictures, Canvas) else list(pictures)
        groups: list[Tensor] = []
        places: list[_Place] = [(0, 0)] * len(given)
        for members in _grouped(map(_kind, given)).values():
            for position, index in enumerate(members):
                places[index] = (len(groups), position)
            groups.append(_uploaded([given[index] for index in members], device))
        return cls(groups, places, device)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """See ``Canvas``."""
        sizes = [(group.shape[1], group.shape[2]) for group in self._groups]
        return [sizes[group] for group, _ in self._places]

    def only(self, numbers: Sequence[int]) -> TorchCanvas:
        """See ``Canvas``."""
        return TorchCanvas(self._groups, [self._places[i] for i in numbers], self.device)

    @torch.inference_mode()
    def images(self) -> list[Image]:
        """See ``Canvas``."""
        found: list[Image | None] = [None] * len(self._places)
        for group, members in _grouped(group for group, _ in self._places).items():
            arrays = to_host(self._pictures(group, members))
            for index, array in zip(members, arrays, strict=True):
                found[index] = array if array.shape[2] == 3 else array[:, :, 0]
        return [image for image in found if image is not None]

    def letterboxes(self, looks: Sequence[tuple[int, Tile, int]]) -> Iterator[Letterboxes]:
        """See ``Canvas``."""
        kinds = _grouped(
            (self._places[i][0], part.x2 - part.x1, part.y2 - part.y1, long_side)
            for i, part, long_side in looks
        )
        by_shape: dict[tuple[int, ...], list[tuple[list[int], float, Tensor]]] = {}
        for (group, width, height, long_side), members in kinds.items():
            parts = self._parts(group, [looks[index][:2] for index in members])
            views = letterboxed(parts, scaled_size(width, height, long_side))
            one = (members, long_side / max(height, width), views)
            by_shape.setdefault(tuple(views.shape[1:]), []).append(one)
        for alike in by_shape.values():
            yield Letterboxes(
                [index for members, _, _ in alike for index in members],
                [scale for members, scale, _ in alike for _ in members],
                _joined([views for _, _, views in alike]),
            )

    @torch.inference_mode()
    def close_ups(self, places: Sequence[tuple[int, Box]], share: float) -> CloseUps:
        """See ``Canvas``."""
        matrices = np.stack([back_from_close_up(box, share) for _, box in places])
        kinds = _grouped(
            (self._places[i][0], *zoom(float(back[0, 0])))
            for (i, _), back in zip(places, matrices, strict=True)
        )
        batches: list[tuple[list[int], Tensor]] = []
        for (group, halvings, samples), members in kinds.items():
            most = max(1, _SAMPLES_AT_ONCE // (math.prod(CLOSE_UP) * samples**2))
            for part in _chunks(members, most):
                numbers = [places[index][0] for index in part]
                pictures, which = self._involved(group, numbers, halved=halvings > 0)
                views = enlarged(pictures, which, matrices[part], halvings, samples)
                batches.append((part, views))
        return CloseUps(_in_order(batches, self.device), matrices)

    @torch.inference_mode()
    def flatten(self, plates: Sequence[tuple[int, Corners]]) -> TorchCanvas:
        """See ``Canvas``."""
        points = [spanning(corners) for _, corners in plates]
        sizes = [flat_size(one) for one in points]
        scales = [shrinking(one, size[0]) for one, size in zip(points, sizes, strict=True)]
        kinds = _grouped(
            (self._places[i][0], size, samples_of(scale))
            for (i, _), size, scale in zip(plates, sizes, scales, strict=True)
        )
        groups: list[Tensor] = []
        places: list[_Place] = [(0, 0)] * len(plates)
        for (group, size, samples), members in kinds.items():
            target = flat_corners(size, WARP_MARGIN)
            most = max(1, _SAMPLES_AT_ONCE // (math.prod(size) * samples**2))
            for part in _chunks(members, most):
                for position, index in enumerate(part):
                    places[index] = (len(groups), position)
                pictures, which = self._involved(group, [plates[index][0] for index in part])
                to_picture = [cv2.getPerspectiveTransform(target, points[i]) for i in part]
                back = np.array(to_picture, np.float32)
                shrunk = np.array([scales[i] for i in part])
                groups.append(flattened(pictures, which, back, size, samples, shrunk))
        return TorchCanvas(groups, places, self.device)

    @torch.inference_mode()
    def lines(self, wanted: Sequence[tuple[int, int]], width: int, height: int) -> Tensor:
        """See ``Canvas``."""
        kinds = _grouped((self._places[i][0], count) for i, count in wanted)
        batches = []
        for (group, count), members in kinds.items():
            grey = grey_of(self._pictures(group, [wanted[index][0] for index in members]))
            line = line_of(unstacked(grey) if count == 2 else grey, width, height)
            batches.append((members, line))
        return _in_order(batches, self.device)[:, None]

    def _positions(self, numbers: Iterable[int]) -> list[int]:
        return [self._places[i][1] for i in numbers]

    def _pictures(self, group: _Group, numbers: Sequence[int]) -> Tensor:
        """Some pictures of one group; not copied where they are all of it."""
        pictures, positions = self._groups[group], self._positions(numbers)
        if positions == list(range(len(pictures))):
            return pictures
        return pictures[_index(positions, self.device)]

    def _involved(
        self, group: _Group, numbers: Sequence[int], halved: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Pictures, and for each of some numbers which of them it is.

        Args:
            halved: They are to be made smaller; then no others are among them.
        """
        positions = self._positions(numbers)
        if not halved:
            return self._groups[group], _index(positions, self.device)
        kept = sorted(set(positions))
        pictures = self._groups[group][_index(kept, self.device)]
        return pictures, _index([kept.index(one) for one in positions], self.device)

    @torch.inference_mode()
    def _parts(self, group: _Group, wanted: Sequence[tuple[int, Tile]]) -> Tensor:
        """Parts of pictures of one group, all of one size."""
        pictures = self._groups[group]
        height, width = pictures.shape[1:3]
        if all(part == (0, 0, width, height) for _, part in wanted):
            return self._pictures(group, [i for i, _ in wanted])
        return torch.stack(
            [
                pictures[position, part.y1 : part.y2, part.x1 : part.x2]
                for position, (_, part) in zip(
                    self._positions(i for i, _ in wanted), wanted, strict=True
                )
            ]
        )


def _kind(picture: Picture) -> tuple[tuple[int, ...], Colour | None]:
    """What pictures have in common that are uploaded together."""
    if isinstance(picture, I420):
        check(picture.y)
        return picture.y.shape, picture.colour
    return check(picture).shape, None


def _grouped(keys: Iterable[_Key]) -> dict[_Key, list[int]]:
    """The places of equal keys."""
    groups: dict[_Key, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    return groups


def _chunks(members: list[int], most: int) -> Iterator[list[int]]:
    for start in range(0, len(members), most):
        yield members[start : start + most]


def _index(numbers: list[int], device: torch.device) -> Tensor:
    return to_device(np.array(numbers, np.int64), device)


def _joined(batches: list[Tensor]) -> Tensor:
    return batches[0] if len(batches) == 1 else torch.cat(batches)


def _in_order(batches: list[tuple[list[int], Tensor]], device: torch.device) -> Tensor:
    """Batches as one, each row at its place."""
    joined = _joined([batch for _, batch in batches])
    members = [index for part, _ in batches for index in part]
    if members == sorted(members):
        return joined
    return joined[_index(np.argsort(members).tolist(), device)]


def _uploaded(pictures: Sequence[Picture], device: torch.device) -> Tensor:
    """Pictures of one kind on a device: NxHxWxC uint8; of planes BGR is made there."""
    first = pictures[0]
    if isinstance(first, I420):
        height, width = first.y.shape
        form = Form(width, height, first.colour)
        planes = staging((len(pictures), height + height // 2, width), torch.uint8, device)
        for picture, memory in zip(pictures, planes.numpy(), strict=True):
            pictures_.copy(picture, form.over(memory.reshape(-1)))
        return bgr_of_planes(planes.to(device, non_blocking=True), first.colour)
    stacked = staging((len(pictures), *first.shape), torch.uint8, device)
    for picture, memory in zip(pictures, stacked.numpy(), strict=True):
        assert not isinstance(picture, I420)
        np.copyto(memory, picture)
    uploaded = stacked.to(device, non_blocking=True)
    return uploaded[..., None] if first.ndim == 2 else uploaded
