"""CropReader: a picture of one plate in, cut by anybody, its text out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from platestream.plates import PlateFormats
from platestream.vision.backends import Network
from platestream.vision.canvas import several
from platestream.vision.decoding import PlateText
from platestream.vision.detector import Detector
from platestream.vision.flat_plate import flatten
from platestream.vision.fusion import TextFusion, TextReading
from platestream.vision.geometry import Corners
from platestream.vision.reader import READ_ODDS, after
from platestream.vision.recognizer import Recognizer

Image = npt.NDArray[np.uint8]

_WIDTH = 256  # pixels to which a crop is brought for the detector
_GROUNDS = (0.12, 0.3)  # of its width, what is put round it: a plate that fills a picture is missed
_TALLEST = 2.0  # times its width; no plate is as high as that
_SURE = 0.999  # confidence of a reading of one line that needs no second look
_LOOSE = 0.7  # of its width; where the plate takes less, the first look has hardly seen it
_LEANING = 0.15  # radians; nor where it leans by more
_BATCH = 16


class _Look(NamedTuple):
    """What a second look reads, how much of the crop's width the plate takes, and its lean."""

    text: PlateText
    share: float
    lean: float


class CropReader:
    """Reads plate crops: as they are first, and once more where that is not quite sure.

    A crop may be loose, its plate may lean in it, or have two lines, which are told apart only
    where they lie level. The second look finds the plate's corners, with two widths of ground
    round the crop, warps it flat as the recognizer likes it best, and fuses what all looks say.
    They are of one picture, so that together they count as one. In a loose crop the first look
    does not count: what it takes for the plate's letters is what lies round it. Nor does it where
    the plate leans much.
    """

    def __init__(self, recognizer: Recognizer, detector: Callable[[], Detector]) -> None:
        """Takes loaded models; ``load`` is the usual way.

        Args:
            detector: Gives the detector; called when it is first needed, and once.
        """
        self._recognizer = recognizer
        self._load_detector = detector
        self._detector: Detector | None = None

    @classmethod
    def load(
        cls,
        weights: Path | None = None,
        *,
        backend: str = "auto",
        device: str = "cpu",
        precision: str = "auto",
        threshold: float | None = None,
        plates_file: Path | None = None,
    ) -> CropReader:
        """Loads the recognizer, and the shipped detector when it is needed.

        Args:
            weights, backend, device, precision, threshold, plates_file: As ``Recognizer.load``
                takes them.

        Raises:
            WeightsError, SettingsError: As ``Recognizer.load``.
        """
        recognizer = Recognizer.load(
            weights,
            backend=backend,
            device=device,
            precision=precision,
            threshold=threshold,
            plates_file=plates_file,
        )

        def detector() -> Detector:
            return Detector.load(backend=backend, device=device, precision=precision)

        return cls(recognizer, detector)

    @property
    def network(self) -> Network:
        """The recognizer's."""
        return self._recognizer.network

    @property
    def formats(self) -> PlateFormats:
        """What plates may carry; the recognizer's."""
        return self._recognizer.formats

    @formats.setter
    def formats(self, formats: PlateFormats) -> None:
        self._recognizer.formats = formats

    @property
    def threshold(self) -> float:
        """The least confidence, 0 to 1, of a character that is believed."""
        return self._recognizer.threshold

    def predict(self, images: Sequence[Image]) -> list[PlateText]:
        """Reads pictures, each of one plate or of none.

        Args:
            images: Each of its own size: HxWx3 uint8 BGR, or HxW uint8 grey.

        Raises:
            ValueError: It is not a sequence; or a picture is empty, or of another shape or type.
        """
        images = several(images)
        texts = self._recognizer.predict(images)
        unsure = [
            place
            for place, (image, text) in enumerate(zip(images, texts, strict=True))
            if not _is_sure(text) and image.shape[0] <= _TALLEST * image.shape[1]
        ]
        for start in range(0, len(unsure), _BATCH):
            places = unsure[start : start + _BATCH]
            again = self._again([images[place] for place in places])
            for place, looks in zip(places, again, strict=True):
                texts[place] = self._fused(texts[place], looks)
        return texts

    def _again(self, images: Sequence[Image]) -> list[list[_Look]]:
        """Second looks at pictures; none where no plate is found."""
        if self._detector is None:
            self._detector = self._load_detector()
        wanted = [(i, ground) for i in range(len(images)) for ground in _GROUNDS]
        found = self._detector.detect(
            [_framed(images[i], ground) for i, ground in wanted],
            after(self._detector.score_threshold, 1 / READ_ODDS),  # what can be read is one
        )
        seen = [
            (i, _unframed(detections[0].corners, images[i], ground))
            for (i, ground), detections in zip(wanted, found, strict=True)
            if detections
        ]
        # from the crop itself: in the view a plate far from filling it has few pixels left
        texts = self._recognizer.predict([flatten(images[i], corners) for i, corners in seen])
        looks: list[list[_Look]] = [[] for _ in images]
        for (i, corners), text in zip(seen, texts, strict=True):
            across, up = (float(v) for v in corners[1] - corners[0])
            share = math.hypot(across, up) / images[i].shape[1]
            looks[i].append(_Look(text, share, abs(math.atan2(up, across))))
        return looks

    def _fused(self, first: PlateText, again: Sequence[_Look]) -> PlateText:
        """What all looks at one picture say, or the first where most of them see no plate."""
        seen_well = all(look.share >= _LOOSE and look.lean <= _LEANING for look in again)
        texts = [*([first] if seen_well else []), *(look.text for look in again)]
        read = [text for text in texts if text.raw]
        if not again or 2 * len(read) <= len(texts):
            return first
        fusion = TextFusion(correlation=1.0)
        fusion.add(*(self._reading(number, text) for number, text in enumerate(read)))
        return fusion.text(self.threshold, self.formats)

    def _reading(self, number: int, text: PlateText) -> TextReading:
        assert text.probabilities is not None  # a recognizer always keeps them
        texts = tuple(candidate for candidate, _ in text.candidates)
        alphabet = self._recognizer.alphabet
        return TextReading(number, text.probabilities, alphabet, texts, _WIDTH, text.lines)


def _is_sure(text: PlateText) -> bool:
    return text.accepted and text.lines == 1 and text.confidence >= _SURE


def _framed(image: Image, ground: float) -> Image:
    """A crop at one size with more of its edge round it, so that its plate does not fill it."""
    width = image.shape[1]
    size = _size_of_view(image)
    method = cv2.INTER_AREA if width > _WIDTH else cv2.INTER_CUBIC
    pad = round(ground * _WIDTH)
    return cv2.copyMakeBorder(
        cv2.resize(image, size, interpolation=method), pad, pad, pad, pad, cv2.BORDER_REPLICATE
    ).astype(np.uint8, copy=False)


def _unframed(corners: Corners, image: Image, ground: float) -> Corners:
    """Corners in a crop's view, see ``_framed``, as pixels of the crop."""
    height, width = image.shape[:2]
    scale = np.array([width, height]) / _size_of_view(image)
    return ((corners - round(ground * _WIDTH)) * scale).astype(np.float32)


def _size_of_view(image: Image) -> tuple[int, int]:
    """Width and height of a crop in its view, without what is put round it."""
    height, width = image.shape[:2]
    return _WIDTH, max(8, round(height * _WIDTH / width))
