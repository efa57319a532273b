"""PlateReader: whole pictures in, plates with corners and text out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from platestream.vision.decoding import PlateText
from platestream.vision.detector import Detection, Detector
from platestream.vision.geometry import Corners, aspect, warp_plate
from platestream.vision.recognizer import Recognizer

Image = npt.NDArray[np.uint8]

LINE_SIZE = (256, 64)  # width and height in pixels of a flat plate of one line
STACK_SIZE = (192, 112)  # and of one that may have two
WARP_MARGIN = 0.06  # of the plate's sides, so that a corner a little off cuts nothing away
_STACK_ASPECT = 2.6  # a plate seen less wide than this may be square; one line has 4.6


@dataclass(frozen=True, slots=True)
class ReadPlate:
    """A plate detection and what is written on it.

    Attributes:
        crop: The plate as it was read: warped flat, of the frame's channels.
    """

    detection: Detection
    text: PlateText
    crop: Image


class PlateReader:
    """Finds plates, warps them flat and reads them."""

    def __init__(self, detector: Detector, recognizer: Recognizer) -> None:
        self._detector = detector
        self._recognizer = recognizer

    @classmethod
    def load(
        cls,
        *,
        detector_weights: Path | None = None,
        recognizer_weights: Path | None = None,
        backend: str = "auto",
        device: str = "cpu",
        threads: int = 0,
        precision: str = "auto",
        threshold: float | None = None,
        plates_file: Path | None = None,
    ) -> PlateReader:
        """Loads both models; the shipped ones where no file is named.

        Args:
            backend: What runs them: ``auto``, ``openvino``, ``onnxruntime`` or ``torch``.
            device: ``cpu``, ``cuda`` or ``cuda:0``.
            threads: CPU threads; 0 leaves it to the backend.
            precision: ``auto``, ``fp32`` or ``bf16``; see ``load_network``.
            threshold: The least confidence, 0 to 1, of a character that is believed.
            plates_file: What plates may carry; without it what the recognizer was trained for.

        Raises:
            WeightsError: Weights are missing or not ours.
            SettingsError: Backend, device or precision are not there, or the plates file does not
                fit.
        """
        return cls(
            Detector.load(
                detector_weights,
                backend=backend,
                device=device,
                threads=threads,
                precision=precision,
            ),
            Recognizer.load(
                recognizer_weights,
                backend=backend,
                device=device,
                threads=threads,
                precision=precision,
                threshold=threshold,
                plates_file=plates_file,
            ),
        )

    @property
    def alphabet(self) -> str:
        """What the classes of the texts' probabilities stand for, from the second on."""
        return self._recognizer.alphabet

    def read(self, images: Sequence[Image]) -> list[list[ReadPlate]]:
        """Reads pictures: for each its plates, the surest detection first.

        Args:
            images: HxWx3 uint8 BGR or HxW uint8 grey, each of its own size.

        Raises:
            ValueError: A picture is empty, or of another shape or type.
        """
        found = self._detector.detect(list(images))
        flat = [
            flatten(image, detection.corners)
            for image, detections in zip(images, found, strict=True)
            for detection in detections
        ]
        read = iter(zip(self._recognizer.predict(flat), flat, strict=True))
        return [[ReadPlate(d, *next(read)) for d in detections] for detections in found]


def flatten(image: Image, corners: Corners) -> Image:
    """A plate warped flat, with a little of what lies round it, as the recognizer takes it.

    Args:
        image: HxWx3 uint8 BGR or HxW uint8 grey.
        corners: 4x2 pixels: top-left, top-right, bottom-right, bottom-left.

    Returns:
        64x256, or 112x192 where the plate may have two lines, with as many channels.

    Raises:
        ValueError: The corners do not span a quadrilateral.
    """
    size = STACK_SIZE if aspect(corners) < _STACK_ASPECT else LINE_SIZE
    return warp_plate(image, corners, size, margin=WARP_MARGIN)
