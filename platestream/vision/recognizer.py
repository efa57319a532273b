"""Recognizer: a plate's picture in, its text with confidences out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt
import torch

from platestream import plates
from platestream.errors import SettingsError, WeightsError
from platestream.plates import PlateFormats
from platestream.vision.decoding import PlateText, decode_batch
from platestream.vision.plate_image import network_input
from platestream.vision.recognition_model import ARCHITECTURE, PlateLine, build, fold
from platestream.vision.weights import default_path, load_weights

Image = npt.NDArray[np.uint8]

DEFAULT_THRESHOLD = 0.6


class Recognizer:
    """Reads plates: pre-processing, network and CTC decoding, one after the other."""

    def __init__(
        self,
        model: PlateLine,
        alphabet: str,
        device: str,
        threshold: float,
        formats: PlateFormats | None = None,
        temperature: float = 1.0,
    ) -> None:
        """Takes a built network; ``load`` is the usual way."""
        self._formats = formats or plates.shipped()
        self._temperature = temperature
        self._device = torch_device(device)
        self._model = fold(model).to(self._device)
        self._model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._alphabet = alphabet
        self.threshold = threshold

    @classmethod
    def load(
        cls,
        path: Path | None = None,
        *,
        device: str = "cpu",
        threshold: float | None = None,
        plates_file: Path | None = None,
        temperature: float | None = None,
    ) -> Recognizer:
        """Loads weights: the shipped ones, or a file of one's own.

        Args:
            device: ``cpu``, ``cuda`` or ``cuda:0``.
            threshold: The least confidence, 0 to 1, of a character that is believed.
            plates_file: What plates may carry; without it what the package knows.
            temperature: Of the confidences; without it the weights' own.

        Raises:
            WeightsError: The weights are missing or not ours.
            SettingsError: The device is not there, or the plates file does not fit.
        """
        path = path or default_path("recognizer")
        weights = load_weights(path, "recognizer")
        if weights.architecture != ARCHITECTURE:
            raise WeightsError(f"'{path}' is for an unknown network '{weights.architecture}'")
        try:
            model = build(weights.config["network"])
            model.load_state_dict(weights.tensors)
            alphabet = str(weights.config["alphabet"])
            fitted = float(weights.config.get("temperature", 1.0))
            if not 0 < fitted < 1e3:
                raise ValueError(f"a temperature of {fitted}")
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise WeightsError(f"'{path}' does not fit its own network: {error}") from error
        chosen = weights.config.get("threshold", DEFAULT_THRESHOLD)
        return cls(
            model,
            alphabet,
            device,
            chosen if threshold is None else threshold,
            plates.load(plates_file) if plates_file is not None else None,
            fitted if temperature is None else temperature,
        )

    @overload
    def predict(self, images: Image) -> PlateText: ...

    @overload
    def predict(self, images: Sequence[Image]) -> list[PlateText]: ...

    def predict(self, images: Image | Sequence[Image]) -> PlateText | list[PlateText]:
        """Reads one picture, or several at once.

        Args:
            images: One picture or a sequence of them, each of its own size: HxWx3 uint8 BGR, or
                HxW uint8 grey.

        Raises:
            ValueError: A picture is empty, or of another shape or type.
        """
        if isinstance(images, np.ndarray) and images.ndim in (2, 3):
            return self._read([images])[0]
        return self._read(list(images))

    def _read(self, images: list[Image]) -> list[PlateText]:
        if not images:
            return []
        probabilities = self.probabilities(images)
        return decode_batch(
            probabilities,
            self._alphabet,
            self.threshold,
            self._formats,
            temperature=self._temperature,
        )

    def probabilities(self, images: Sequence[Image]) -> npt.NDArray[np.float32]:
        """What CTC decoding starts from: NxTxC float32, class 0 the blank.

        Raises:
            ValueError: A picture is empty, or of another shape or type.
        """
        size = self._model.config
        batch = np.stack([network_input(check(i), size.width, size.height) for i in images])
        with torch.inference_mode():
            inputs = torch.from_numpy(batch)[:, None].to(self._device)
            logits = self._model(inputs.contiguous(memory_format=torch.channels_last))
            rows: npt.NDArray[np.float32] = logits.softmax(-1).cpu().numpy()
        return rows


def check(image: Image) -> Image:
    """Refuses what is not a picture.

    Raises:
        ValueError: It is empty, or not HxW or HxWx3 uint8.
    """
    shape_fits = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if image.dtype != np.uint8 or not shape_fits or image.size == 0:
        raise ValueError(
            f"a picture of shape {image.shape} and type {image.dtype}; HxWx3 (BGR) or HxW uint8 "
            "is wanted, and not empty"
        )
    return image


def torch_device(name: str) -> torch.device:
    """A torch device by name.

    Raises:
        SettingsError: There is no such device here.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingsError(f"'{name}' is not a device; use cpu, cuda or cuda:0") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SettingsError(f"device '{name}' is asked for, but CUDA is not available here")
    return device
