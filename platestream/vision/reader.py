"""PlateReader: whole pictures in, plates with corners and text out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from platestream.vision.decoding import PlateText
from platestream.vision.detector import Detection, Detector
from platestream.vision.geometry import warp_plate
from platestream.vision.recognizer import Recognizer

Image = npt.NDArray[np.uint8]

WARP_SIZE = (256, 64)  # width and height in pixels; twice what the network sees
WARP_MARGIN = 0.06  # of the plate's sides, so that a corner a little off cuts nothing away


@dataclass(frozen=True, slots=True)
class ReadPlate:
    """A plate detection and what is written on it."""

    detection: Detection
    text: PlateText


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
    ) -> PlateReader:
        """Loads both models; the shipped ones where no file is named.

        Args:
            backend: What runs them: ``auto``, ``openvino``, ``onnxruntime`` or ``torch``.
            device: ``cpu``, ``cuda`` or ``cuda:0``.
            threads: CPU threads; 0 leaves it to the backend.
            precision: ``auto``, ``fp32`` or ``bf16``; see ``load_network``.
            threshold: The least confidence, 0 to 1, of a character that is believed.

        Raises:
            WeightsError: Weights are missing or not ours.
            SettingsError: Backend, device or precision are not there.
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
            ),
        )

    def read(self, images: Sequence[Image]) -> list[list[ReadPlate]]:
        """Reads pictures: for each its plates, the surest detection first.

        Args:
            images: HxWx3 uint8 BGR or HxW uint8 grey, each of its own size.

        Raises:
            ValueError: A picture is empty, or of another shape or type.
        """
        found = self._detector.detect(list(images))
        crops = [
            warp_plate(image, detection.corners, WARP_SIZE, margin=WARP_MARGIN)
            for image, detections in zip(images, found, strict=True)
            for detection in detections
        ]
        texts = iter(self._recognizer.predict(crops))
        return [[ReadPlate(d, next(texts)) for d in detections] for detections in found]
