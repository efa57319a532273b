"""PlateReader: whole pictures in, plates with corners and text out."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from platestream.vision.canvas import Canvas, CpuCanvas, Pictures, several
from platestream.vision.close_up import CLOSE_UP
from platestream.vision.decoding import PlateText
from platestream.vision.detector import Detection, Detector
from platestream.vision.geometry import Box, may_be_cut
from platestream.vision.recognizer import Recognizer

Image = npt.NDArray[np.uint8]

PICTURE_TILE = 1280  # pixels; larger pictures are looked at in parts of that size, too

READ_ODDS = 3.0
"""By what the odds of a detection's score are multiplied where something is read in it."""
NOTHING_ODDS = 0.7
"""And where the recognizer is sure that there is nothing to read."""
EXPECTED_ODDS = 3.0
"""And where a plate was seen shortly before: it does not come and go with a score that wavers."""
_READ = 4  # characters that lettering, lamps and grilles seldom look like
_SURELY_NOTHING = 0.98


@dataclass(frozen=True, slots=True)
class ReadPlate:
    """A plate detection and what is written on it.

    Attributes:
        detection: Its score is the detector's after what the recognizer says of it.
        crop: The plate as it was read: warped flat, of the frame's channels.
        cut: Whether the edge of the picture may have taken a part of it. What is left of a text
            can be a text, too: such a one is not accepted, and has no probabilities that would
            be fused with those of other frames.
    """

    detection: Detection
    text: PlateText
    crop: Image
    cut: bool = False


class PlateReader:
    """Finds plates, warps them flat and reads them."""

    def __init__(
        self, detector: Detector, recognizer: Recognizer, *, doubtful: bool = True
    ) -> None:
        """Takes loaded models; ``load`` is the usual way.

        Args:
            doubtful: Reads what the detector doubts, too: it is a plate if it can be read. In a
                video that is not worth its time, the next frames tell.
        """
        self._detector = detector
        self._recognizer = recognizer
        self._doubtful = doubtful

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
        tile: int = PICTURE_TILE,
        video: bool = False,
    ) -> PlateReader:
        """Loads both models; the shipped ones where no file is named.

        Args:
            backend: What runs them: ``auto``, ``openvino``, ``onnxruntime`` or ``torch``.
            device: ``cpu``, ``cuda`` or ``cuda:0``.
            threads: CPU threads; 0 leaves it to the backend.
            precision: ``auto``, ``fp32`` or ``bf16``; see ``load_network``.
            threshold: The least confidence, 0 to 1, of a character that is believed.
            plates_file: What plates may carry; without it what the recognizer was trained for.
            tile: As ``Detector.load`` takes it.
            video: For the frames of a video, which come many times a second: networks that are
                fast rather than a little better, ready for their first frame, and nothing that is
                doubtful.

        Raises:
            WeightsError: Weights are missing or not ours.
            SettingsError: Backend, device or precision are not there, or the plates file does not
                fit.
        """
        reader = cls(
            Detector.load(
                detector_weights,
                backend=backend,
                device=device,
                threads=threads,
                precision=precision,
                tile=tile,
                video=video,
            ),
            Recognizer.load(
                recognizer_weights,
                backend=backend,
                device=device,
                threads=threads,
                precision=precision,
                threshold=threshold,
                plates_file=plates_file,
                video=video,
            ),
            doubtful=not video,
        )
        if video:
            reader._warm_up()
        return reader

    @property
    def alphabet(self) -> str:
        """What the classes of the texts' probabilities stand for, from the second on."""
        return self._recognizer.alphabet

    @property
    def takes_planes(self) -> bool:
        """Whether planes are made BGR faster here than before: where a GPU does it."""
        return self._detector.network.canvas is not CpuCanvas

    def read(
        self, images: Pictures, near: Sequence[Sequence[Box] | None] | None = None
    ) -> list[list[ReadPlate]]:
        """Reads pictures: for each its plates, the surest detection first.

        What the detector doubts is a plate if it can be read or was expected; what it is not quite
        sure of is none if there is surely nothing to read.

        Args:
            images: HxWx3 uint8 BGR, HxW uint8 grey, or planes, each of its own size.
            near: For each picture boxes, x1, y1, x2, y2: it is looked at there only
                (``Detector.detect_near``). None for one, or for all: everywhere.

        Raises:
            ValueError: It is not a sequence; or a picture is empty, or of another shape or type.
        """
        images = several(images)
        near = near or [None] * len(images)
        canvas = self._detector.network.canvas(images)
        found = self._find(canvas, near)
        flat = canvas.flatten([(i, one.corners) for i, ones in enumerate(found) for one in ones])
        read = iter(zip(self._recognizer.predict(flat), flat.images(), strict=True))
        return [
            self._plates(
                [ReadPlate(d, *next(read), may_be_cut(d.corners, *shape)) for d in detections],
                1.0 if places is None else EXPECTED_ODDS,
            )
            for detections, places, shape in zip(found, near, canvas.shapes, strict=True)
        ]

    def probe(self) -> None:
        """Has both networks run on nothing, in a few milliseconds; raises what they raise.

        Tells a picture that cannot be read from networks that cannot read any more, as when
        their GPU is gone.
        """
        width, height = CLOSE_UP
        blank = np.zeros((height, width, 3), np.uint8)
        self._detector.detect_near([blank], [[(0.0, 0.0, float(width), float(height))]])
        self._recognizer.predict(blank)

    def _warm_up(self, height: int = 720, width: int = 1280) -> None:
        """Has the networks do once what frames of this shape will take.

        What openvino compiles for them, for seconds where it is not on disk yet, is there then;
        live frames would pass unread meanwhile.
        """
        with ThreadPoolExecutor() as threads:  # compiling takes one core each
            work = [
                threads.submit(self._detector.warm_up, height, width),
                threads.submit(self._recognizer.warm_up),
            ]
        for one in work:
            one.result()

    def _find(self, canvas: Canvas, near: Sequence[Sequence[Box] | None]) -> list[list[Detection]]:
        """What may be plates: of detections, those that may still reach the threshold."""
        threshold = self._detector.score_threshold
        least = after(threshold, 1 / READ_ODDS) if self._doubtful else threshold
        whole = [i for i, places in enumerate(near) if places is None]
        parts = [(i, places) for i, places in enumerate(near) if places is not None]
        found: list[list[Detection]] = [[] for _ in near]
        if whole:
            for i, one in zip(whole, self._detector.detect(canvas.only(whole), least), strict=True):
                found[i] = one
        if parts:
            seen = self._detector.detect_near(
                canvas.only([i for i, _ in parts]),
                [places for _, places in parts],
                after(threshold, 1 / EXPECTED_ODDS),
            )
            for (i, _), one in zip(parts, seen, strict=True):
                found[i] = one
        return found

    def _plates(self, found: list[ReadPlate], odds: float) -> list[ReadPlate]:
        """Those that are plates by all that is known, the surest first.

        Args:
            odds: By what those of all of them are multiplied.
        """
        weighed = []
        for one in found:
            score = after(one.detection.score, odds * _evidence(one.text))
            text = replace(one.text, accepted=False, probabilities=None) if one.cut else one.text
            weighed.append(replace(one, detection=replace(one.detection, score=score), text=text))
        kept = [one for one in weighed if one.detection.score >= self._detector.score_threshold]
        return sorted(kept, key=lambda one: -one.detection.score)


def _evidence(text: PlateText) -> float:
    """By what the odds of there being a plate change with what is read."""
    if len(text.raw) >= _READ:
        return READ_ODDS
    if not text.raw and text.confidence >= _SURELY_NOTHING:
        return NOTHING_ODDS
    return 1.0


def after(score: float, odds: float) -> float:
    """A probability, 0 to 1, whose odds are multiplied."""
    return score * odds / (score * odds + 1 - score)
