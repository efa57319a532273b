"""Detector: a picture in, plate detections with four corners out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, overload

import cv2
import numpy as np
import numpy.typing as npt

from platestream.errors import WeightsError
from platestream.vision.backends import Network, load_network, probe
from platestream.vision.canvas import Canvas, Pictures
from platestream.vision.close_up import CLOSE_UP, SHARE
from platestream.vision.geometry import Box, Corners, bounding_box, box_iou, suppress
from platestream.vision.heatmap import STRIDE, decode_map
from platestream.vision.tiling import Tile, is_cut, merge, tiles

Image = npt.NDArray[np.uint8]

DEFAULT_SCORE_THRESHOLD = 0.4
LONG_SIDE = 1024  # pixels; a picture is brought to it before the network sees it
MAX_PLATES = 64
_OVERLAP = 0.3  # real plates do not lie on one another
_NEAR_SHARE = 0.35  # where one is expected: it may have moved, and corners be nearly as exact
_MOST_REFINED = 24  # candidates of a picture
_REFINED_SCORE = 0.05  # the least that the second look tells from nothing
_REFINED_PEAKS = 4
_REFINED_OVERLAP = 0.3  # less, and the second look has seen something else
_FAINTEST = 0.85  # of a doubtful plate's least score: fainter, a second look seldom lifts it
_ENLARGED = 1.6  # times at most: a small picture shows no more for being made larger
_GLANCE = 320  # pixels: the whole picture made so small shows plates that nearly fill it
_GLANCE_LEAST = 0.25  # of the picture's longer side; smaller plates are left to the other look
_TILE_OVERLAP = 8  # tiles overlap by an eighth of their side; larger plates the whole shows
_LEAST_AREA = 4.0  # square pixels of a quadrilateral that can be warped


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """Where a plate is.

    Attributes:
        corners: 4x2 float32 pixels of the picture: top-left, top-right, bottom-right,
            bottom-left of the plate as read; they may lie a little outside.
        score: 0 to 1.
    """

    corners: Corners
    score: float

    @property
    def box(self) -> Box:
        """The axis-aligned box round the corners: x1, y1, x2, y2."""
        return bounding_box(self.corners)

    def box_in(self, image: Image) -> Box:
        """The box round what a picture, HxW or HxWx3, shows of the plate: x1, y1, x2, y2."""
        height, width = image.shape[:2]
        x1, y1, x2, y2 = np.clip(self.box, 0, [width, height, width, height]).tolist()
        return x1, y1, x2, y2


class _Look(NamedTuple):
    """A part of a picture, how many pixels long the network sees it, and the least plate's width.

    The width is in pixels of the picture.
    """

    part: Tile
    long_side: int
    least: float = 0.0


class Detector:
    """Finds plates: scaling, network, peaks of the heatmap, suppression."""

    def __init__(
        self,
        network: Network,
        score_threshold: float,
        long_side: int = LONG_SIDE,
        refine: bool = True,
        tile: int = 0,
    ) -> None:
        """Takes a loaded network; ``load`` is the usual way."""
        self.network = network
        self.score_threshold = score_threshold
        self.long_side = long_side
        self.refine = refine
        self.tile = tile

    @classmethod
    def load(
        cls,
        path: Path | None = None,
        *,
        backend: str = "auto",
        device: str = "cpu",
        threads: int = 0,
        precision: str = "auto",
        score_threshold: float | None = None,
        long_side: int = LONG_SIDE,
        refine: bool = True,
        tile: int = 0,
        video: bool = False,
    ) -> Detector:
        """Loads a network: the shipped one, or a file of one's own.

        Args:
            path, backend, device, threads, precision, video: As ``load_network`` takes them.
            score_threshold: The least score, 0 to 1, of a detection; None: the network's own.
            long_side: Pictures are scaled so that their longer side has so many pixels, small
                ones by 1.6 at most; more finds smaller plates and takes longer.
            refine: Looks at each plate a second time, enlarged: for better corners, and to tell
                plates from what only looks like one from afar.
            tile: Pictures larger than so many pixels are looked at in tiles of that side too, for
                plates that are small in a large picture; 0: never.

        Raises:
            WeightsError: The file is missing or not ours.
            SettingsError: Backend, device or precision are not there.
        """
        network = load_network(
            path,
            "detector",
            backend=backend,
            device=device,
            threads=threads,
            precision=precision,
            video=video,
        )
        try:
            own = float(network.config.get("score_threshold", DEFAULT_SCORE_THRESHOLD))
        except (TypeError, ValueError) as error:
            raise WeightsError(f"'{network.path}' has no usable threshold: {error}") from error
        width, height = CLOSE_UP
        blank = np.zeros((1, height, width, 3), np.uint8)
        probe(network, blank, (1, 9, height // STRIDE, width // STRIDE))
        chosen = own if score_threshold is None else score_threshold
        return cls(network, chosen, long_side, refine, tile)

    def warm_up(self, height: int, width: int) -> None:
        """Has the network run on all that frames of this size give: up to four, eight plates.

        A backend's first run of a shape takes much longer than the others.
        """
        blank = np.zeros((height, width, 3), np.uint8)
        for count in (1, 2, 4):
            frames = self.network.canvas([blank] * count)
            looks = [
                (number, look.part, look.long_side)
                for number in range(count)
                for look in self._looks(height, width)
            ]
            for _, _, batch in frames.letterboxes(looks):
                self.network.run(batch)
        frame = self.network.canvas([blank])
        for count in (1, 2, 4, 8):
            views = frame.close_ups([(0, (0.0, 0.0, width, height))] * count, SHARE)
            self.network.run(views.batch)

    @overload
    def detect(self, images: Image) -> list[Detection]: ...

    @overload
    def detect(
        self, images: Pictures | Canvas, least: float | None = None
    ) -> list[list[Detection]]: ...

    def detect(
        self, images: Image | Pictures | Canvas, least: float | None = None
    ) -> list[Detection] | list[list[Detection]]:
        """Finds the plates of one picture, or of several; the surest first.

        Args:
            images: One picture or a sequence of them, each of its own size: HxWx3 uint8 BGR, HxW
                uint8 grey, or planes; or the canvas of some.
            least: The least score of a detection; None: the threshold. Less than that shows
                doubtful plates, but not all of them: what is very faint at first sight is not
                looked at again.

        Raises:
            ValueError: A picture is empty, or of another shape or type.
        """
        least = self.score_threshold if least is None else least
        if isinstance(images, np.ndarray) and images.ndim in (2, 3):
            return self._find(self.network.canvas([images]), least)[0]
        pictures = images if isinstance(images, Canvas) else list(images)
        return self._find(self.network.canvas(pictures), least)

    def detect_near(
        self,
        images: Pictures | Canvas,
        places: Sequence[Sequence[Box]],
        least: float | None = None,
    ) -> list[list[Detection]]:
        """Finds plates where they are expected, and looks at nothing else.

        A place costs a twentieth of what a whole picture does: it is looked at once, enlarged.

        Args:
            images: As ``detect`` takes them.
            places: For each picture the boxes, x1, y1, x2, y2, where plates should be; a plate
                may be half its width beside.
            least: As ``detect`` takes it.

        Raises:
            ValueError: A picture is empty, or of another shape or type.
        """
        least = self.score_threshold if least is None else least
        canvas = self.network.canvas(images)
        shapes = canvas.shapes
        found: list[list[Detection]] = [[] for _ in shapes]
        wanted = [(i, box) for i, boxes in enumerate(places) for box in boxes]
        for start in range(0, len(wanted), canvas.close_ups_at_once):
            part = wanted[start : start + canvas.close_ups_at_once]
            views = canvas.close_ups(part, _NEAR_SHARE)
            maps = self.network.run(views.batch)
            for (i, _), one, matrix in zip(part, maps, views.matrices, strict=True):
                found[i] += _seen(one, matrix, shapes[i], least)
        return [_merged(one) for one in found]

    def _find(self, canvas: Canvas, least: float) -> list[list[Detection]]:
        found = self._search(canvas, self._faintest(least))
        if not self.refine:
            return found
        self._refine(canvas, found)
        return [
            sorted((d for d in one if d.score >= least), key=lambda d: -d.score) for one in found
        ]

    def _faintest(self, least: float) -> float:
        """The least score at first sight of what the second look may still lift to ``least``."""
        if not self.refine:
            return least
        liftable = least**2  # the second look cannot give more than 1
        if least >= self.score_threshold:
            return liftable
        return max(liftable, min(self.score_threshold**2, _FAINTEST * least))

    def _refine(self, canvas: Canvas, found: list[list[Detection]]) -> None:
        """Looks at each candidate again, enlarged: corners and score become much more exact.

        The new score is the geometric mean of both looks'. What the second look does not see at
        its place keeps its corners, and half of what is least at the second look counts.
        """
        places = [
            (i, j) for i, one in enumerate(found) for j in range(min(len(one), _MOST_REFINED))
        ]
        for start in range(0, len(places), canvas.close_ups_at_once):
            part = places[start : start + canvas.close_ups_at_once]
            views = canvas.close_ups([(i, found[i][j].box) for i, j in part], SHARE)
            maps = self.network.run(views.batch)
            for (i, j), one, matrix in zip(part, maps, views.matrices, strict=True):
                found[i][j] = _looked_at_again(found[i][j], one, matrix)

    def _search(self, canvas: Canvas, least: float) -> list[list[Detection]]:
        """Candidates, of this score at least."""
        shapes = canvas.shapes
        looks = [(i, look) for i, shape in enumerate(shapes) for look in self._looks(*shape)]
        found: list[list[Detection]] = [[] for _ in shapes]
        for members, scales, batch in canvas.letterboxes(
            [(i, part, long_side) for i, (part, long_side, _) in looks]
        ):
            maps = self.network.run(batch)
            for index, scale, one in zip(members, scales, maps, strict=True):
                i, (part, _, narrowest) = looks[index]
                height, width = shapes[i]
                for detection in _peaks(one, scale, least):
                    corners = detection.corners + np.array([part.x1, part.y1], np.float32)
                    box = np.array(bounding_box(corners), np.float32)
                    if box[2] - box[0] >= narrowest and not is_cut(box, part, width, height):
                        found[i].append(Detection(corners, detection.score))
        return [_merged(one) for one in found]

    def _looks(self, height: int, width: int) -> list[_Look]:
        """The whole picture, a glance at it, and its tiles where it is larger than one."""
        whole = Tile(0, 0, width, height)
        longer = max(width, height)
        looks = [_Look(whole, min(self.long_side, max(_GLANCE, round(_ENLARGED * longer))))]
        if looks[0].long_side != _GLANCE:
            looks.append(_Look(whole, _GLANCE, _GLANCE_LEAST * longer))
        if self.tile and max(height, width) > self.tile:
            parts = tiles(width, height, self.tile, self.tile // _TILE_OVERLAP)
            looks += [_Look(part, self.long_side) for part in parts]
        return looks


def _peaks(found: npt.NDArray[np.float32], scale: float, least: float) -> list[Detection]:
    corners, scores = decode_map(found, least, MAX_PLATES)
    corners /= scale
    whole = np.array([_can_be_warped(c) for c in corners], bool)
    corners, scores = corners[whole], scores[whole]
    if not len(scores):
        return []
    boxes = np.array([bounding_box(c) for c in corners], np.float32)
    kept = suppress(boxes, scores, _OVERLAP)
    return [Detection(corners[i], float(scores[i])) for i in kept]


def _seen(
    found: npt.NDArray[np.float32],
    matrix: npt.NDArray[np.float64],
    shape: tuple[int, int],
    least: float,
) -> list[Detection]:
    """What a view shows, in pixels of the picture of this shape; not what the view cuts."""
    height, width = shape
    x1, y1 = matrix[:, 2]
    x2, y2 = matrix @ (*CLOSE_UP, 1)
    part = Tile(*(round(float(v)) for v in (x1, y1, x2, y2)))
    seen = []
    for quad, score in zip(*decode_map(found, least, _REFINED_PEAKS), strict=True):
        corners = cv2.transform(quad[None], matrix)[0].astype(np.float32)
        box = np.array(bounding_box(corners), np.float32)
        if _can_be_warped(corners) and not is_cut(box, part, width, height):
            seen.append(Detection(corners, float(score)))
    return seen


def _looked_at_again(
    before: Detection, found: npt.NDArray[np.float32], matrix: npt.NDArray[np.float64]
) -> Detection:
    """A candidate after its second look; see ``Detector._refine``."""
    corners, scores = decode_map(found, _REFINED_SCORE, _REFINED_PEAKS)
    for quad, score in zip(corners, scores, strict=True):
        moved = cv2.transform(quad[None], matrix)[0].astype(np.float32)
        if _can_be_warped(moved) and _overlap_of(before.corners, moved) >= _REFINED_OVERLAP:
            return Detection(moved, float(np.sqrt(before.score * score)))
    return Detection(before.corners, float(np.sqrt(before.score * _REFINED_SCORE / 2)))


def _can_be_warped(corners: Corners) -> bool:
    """Whether corners span something; the box round four on a slanting line has an area as well."""
    return bool(np.isfinite(corners).all() and abs(cv2.contourArea(corners)) >= _LEAST_AREA)


def _merged(found: list[Detection]) -> list[Detection]:
    """Detections of overlapping parts of one picture, each plate once, the surest first."""
    if not found:
        return []
    boxes = np.array([d.box for d in found], np.float32)
    scores = np.array([d.score for d in found], np.float32)
    return [found[i] for i in merge(boxes, scores)]


def _overlap_of(a: Corners, b: Corners) -> float:
    boxes = np.array([bounding_box(a), bounding_box(b)], np.float32)
    return float(box_iou(boxes[:1], boxes[1:])[0, 0])
