"""CropReader: a picture of one plate in, cut by anybody, its text out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from platestream.plates import PlateFormats
from platestream.vision.backends import Network
from platestream.vision.decoding import PlateText
from platestream.vision.detector import Detector
from platestream.vision.fusion import TextFusion, TextReading
from platestream.vision.reader import flatten
from platestream.vision.recognizer import Recognizer

Image = npt.NDArray[np.uint8]

_WIDTH = 256  # pixels to which a crop is brought for the detector
_GROUNDS = (0.12, 0.3)  # of its width, what is put round it: a plate that fills a picture is missed
_TALLEST = 2.0  # times its width; no plate is as high as that
_BATCH = 16


class CropReader:
    """Reads plate crops: as they are first, and once more where that is not accepted.

    A crop may be loose, or its plate lean in it. The second look finds the plate's corners, warps
    it flat as the recognizer likes it best, and fuses what all looks say. They are of one
    picture, so that together they count as one.
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
            ValueError: A picture is empty, or of another shape or type.
        """
        texts = self._recognizer.predict(images)
        unsure = [
            place
            for place, (image, text) in enumerate(zip(images, texts, strict=True))
            if not text.accepted and image.shape[0] <= _TALLEST * image.shape[1]
        ]
        for start in range(0, len(unsure), _BATCH):
            places = unsure[start : start + _BATCH]
            for place, text in zip(places, self._again([images[p] for p in places]), strict=True):
                texts[place] = self._fused([texts[place], *text])
        return texts

    def _again(self, images: Sequence[Image]) -> list[list[PlateText]]:
        """What second looks at pictures read; nothing where no plate is found."""
        if self._detector is None:
            self._detector = self._load_detector()
        framed = [_framed(image, ground) for image in images for ground in _GROUNDS]
        found = self._detector.detect(framed)
        flat = [
            flatten(view, detections[0].corners)
            for view, detections in zip(framed, found, strict=True)
            if detections
        ]
        read = iter(self._recognizer.predict(flat))
        count = len(_GROUNDS)
        return [
            [next(read) for detections in found[i * count : (i + 1) * count] if detections]
            for i in range(len(images))
        ]

    def _fused(self, looks: Sequence[PlateText]) -> PlateText:
        """What all looks at one picture say, or the first where most of them see no plate."""
        first = looks[0]
        read = [look for look in looks if look.raw]
        if len(looks) == 1 or 2 * len(read) <= len(looks):
            return first
        fusion = TextFusion(correlation=1.0)
        fusion.add(*(self._reading(number, look) for number, look in enumerate(read)))
        return fusion.text(self.threshold, self.formats)

    def _reading(self, number: int, look: PlateText) -> TextReading:
        assert look.probabilities is not None  # a recognizer always keeps them
        texts = tuple(text for text, _ in look.candidates)
        alphabet = self._recognizer.alphabet
        return TextReading(number, look.probabilities, alphabet, texts, _WIDTH, look.lines)


def _framed(image: Image, ground: float) -> Image:
    """A crop at one size with more of its edge round it, so that its plate does not fill it."""
    height, width = image.shape[:2]
    size = (_WIDTH, max(8, round(height * _WIDTH / width)))
    method = cv2.INTER_AREA if width > _WIDTH else cv2.INTER_CUBIC
    pad = round(ground * _WIDTH)
    return cv2.copyMakeBorder(
        cv2.resize(image, size, interpolation=method), pad, pad, pad, pad, cv2.BORDER_REPLICATE
    ).astype(np.uint8, copy=False)
