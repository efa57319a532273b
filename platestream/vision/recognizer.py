"""Recognizer: a plate's picture in, its text with confidences out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt

from platestream import plates
from platestream.errors import WeightsError
from platestream.plates import PlateFormats
from platestream.vision import plate_formats
from platestream.vision.backends import Network, load_network, probe
from platestream.vision.canvas import Canvas, CpuCanvas, check
from platestream.vision.decoding import UNSURE, PlateText, decode_batch
from platestream.vision.plate_image import network_input

Image = npt.NDArray[np.uint8]

DEFAULT_THRESHOLD = 0.6
# Plates of one line are 4.6 times as wide as high, of two 1.3 to 1.7 times: a picture with less
# than this may show two lines.
_LINE_ASPECT = 2.6
MAX_SIDE = 1024  # pixels of a network's input; plates are not read better from more


class Recognizer:
    """Reads plates: pre-processing, network and CTC decoding, one after the other."""

    def __init__(
        self,
        network: Network,
        alphabet: str,
        size: tuple[int, int],
        threshold: float,
        formats: PlateFormats | None = None,
        temperature: float = 1.0,
    ) -> None:
        """Takes a loaded network; ``load`` is the usual way.

        Args:
            size: Width and height in pixels of the pictures that the network takes.
        """
        self.formats = formats or plates.shipped()
        self._temperature = temperature
        self.network = network
        self.alphabet = alphabet
        self._size = size
        self.threshold = threshold

    @classmethod
    def load(
        cls,
        path: Path | None = None,
        *,
        backend: str = "auto",
        device: str = "cpu",
        threads: int = 0,
        precision: str = "auto",
        threshold: float | None = None,
        plates_file: Path | None = None,
        temperature: float | None = None,
        video: bool = False,
    ) -> Recognizer:
        """Loads a network: the shipped one, or a file of one's own.

        Args:
            path, backend, device, threads, precision, video: As ``load_network`` takes them.
            threshold: The least confidence, 0 to 1, of a character that is believed; None: the
                network's own.
            plates_file: What plates may carry; without it what the network was trained for.
            temperature: Of the confidences; without it the network's own.

        Raises:
            WeightsError: The file is missing or not ours.
            SettingsError: Backend, device or precision are not there, or the plates file does not
                fit.
        """
        network = load_network(
            path,
            "recognizer",
            backend=backend,
            device=device,
            threads=threads,
            precision=precision,
            video=video,
        )
        try:
            made = network.config["network"]
            size = (int(made["width"]), int(made["height"]))
            if not all(1 <= side <= MAX_SIDE for side in size):
                raise ValueError(f"pictures of {size[0]} x {size[1]} pixels")
            alphabet = str(network.config["alphabet"])
            own = float(network.config.get("threshold", DEFAULT_THRESHOLD))
            fitted = float(network.config.get("temperature", 1.0))
            if not 0 <= own <= 1:
                raise ValueError(f"a threshold of {own}")
            if not 0 < fitted < 1e3:
                raise ValueError(f"a temperature of {fitted}")
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(
                f"'{network.path}' does not say what its network takes: {error}"
            ) from error
        formats = (
            plates.load(plates_file)
            if plates_file is not None
            else plate_formats.of_weights(network.config, network.path)
        )
        blank = np.zeros((1, 1, size[1], size[0]), np.float32)
        probe(network, blank, (1, None, len(alphabet) + 1))
        return cls(
            network,
            alphabet,
            size,
            own if threshold is None else threshold,
            formats,
            fitted if temperature is None else temperature,
        )

    def warm_up(self) -> None:
        """Has the network run on up to eight plates: see ``Detector.warm_up``."""
        width, height = self._size
        for count in (1, 2, 4, 8):
            self.network.run(np.zeros((count, 1, height, width), np.float32))

    @overload
    def predict(self, images: Image) -> PlateText: ...

    @overload
    def predict(self, images: Sequence[Image] | Canvas) -> list[PlateText]: ...

    def predict(self, images: Image | Sequence[Image] | Canvas) -> PlateText | list[PlateText]:
        """Reads one picture, or several at once.

        A picture that is not wide enough for one line of a plate is also read as two lines, and
        what is then likelier a plate counts.

        Args:
            images: One picture or a sequence of them, each of its own size: HxWx3 uint8 BGR, or
                HxW uint8 grey; or the canvas of some.

        Raises:
            ValueError: A picture is empty, or of another shape or type.
        """
        if isinstance(images, Canvas):
            return self._read(self.network.canvas(images))
        if isinstance(images, np.ndarray) and images.ndim in (2, 3):
            return self._read(CpuCanvas([images]))[0]
        # pictures of plates are small: what the network takes of them is as soon moved as they are
        return self._read(CpuCanvas(list(images)))

    def _read(self, canvas: Canvas) -> list[PlateText]:
        shapes = canvas.shapes
        if not shapes:
            return []
        wanted = [
            (place, count)
            for place, (height, width) in enumerate(shapes)
            for count in ((1, 2) if width < _LINE_ASPECT * height else (1,))
        ]
        read = decode_batch(
            self.network.run(canvas.lines(wanted, *self._size)),
            self.alphabet,
            self.threshold,
            self.formats,
            lines=[count for _, count in wanted],
            temperature=self._temperature,
        )
        best: list[PlateText | None] = [None] * len(shapes)
        for (place, _), text in zip(wanted, read, strict=True):
            before = best[place]
            best[place] = text if before is None else better(before, text)
        return [text for text in best if text is not None]

    def probabilities(self, images: Sequence[Image]) -> npt.NDArray[np.float32]:
        """What CTC decoding starts from: NxTxC float32, class 0 the blank.

        Raises:
            ValueError: A picture is empty, or of another shape or type.
        """
        return self.network.run(self.inputs(images))

    def inputs(self, images: Sequence[Image]) -> npt.NDArray[np.float32]:
        """Pictures as the network takes them: Nx1xHxW float32.

        Raises:
            ValueError: A picture is empty, or of another shape or type.
        """
        return np.stack([network_input(check(image), *self._size) for image in images])[:, None]


def better(first: PlateText, second: PlateText) -> PlateText:
    """Of two readings of one plate the one to believe; the first where they are worth the same.

    The confidence of a text is that of its worst character: an empty one, which has none, must not
    win by it against a text most of which is sure.
    """

    def worth(text: PlateText) -> tuple[bool, bool, float]:
        sure = sum(c != UNSURE for c in text.text)
        return text.format is not None, 2 * sure > len(text.raw), text.confidence

    return second if worth(second) > worth(first) else first
