"""Batches for the recognizer: real crops, synthetic ones and pictures without a plate, mixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import albumentations as A
import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from platestream import plates
from platestream.vision.plate_image import network_input
from platestream.vision.recognition_model import CrnnConfig
from training.recognition.crops import Crop, read_picture
from training.synthesis.clutter import empty_crop
from training.synthesis.crop import CROP_SIZE, plate_crop
from training.transforms import street

Image = npt.NDArray[np.uint8]
Sample = dict[str, Tensor]


@dataclass(frozen=True)
class Mixture:
    """Shares of a batch: synthetic plates, real crops, and pictures without a plate."""

    synthetic: float
    real: float
    empty: float


SYNTHETIC_ONLY = Mixture(0.92, 0.0, 0.08)
WITH_REAL = Mixture(0.37, 0.45, 0.18)


def encode(text: str) -> Tensor:
    """A text as CTC targets: positions in the alphabet, from 1; 0 is the blank."""
    return torch.tensor([plates.alphabet().index(c) + 1 for c in text], dtype=torch.long)


def collate(samples: Sequence[Sample]) -> Sample:
    """Puts samples together: CTC's targets lie one after the other, with their lengths beside."""
    return {
        "image": torch.stack([s["image"] for s in samples]),
        "target": torch.cat([s["target"] for s in samples]),
        "target_length": torch.tensor([len(s["target"]) for s in samples]),
    }


def sample(image: Image, text: str, config: CrnnConfig) -> Sample:
    """One picture and its text as tensors."""
    array = network_input(image, config.width, config.height)
    return {"image": torch.from_numpy(array)[None], "target": encode(text)}


class TrainingCrops(Dataset[Sample]):
    """An endless mixture, made anew each time; ``__len__`` is what one epoch takes of it."""

    def __init__(
        self,
        real: Sequence[Crop],
        grounds: Sequence[Image],
        config: CrnnConfig,
        *,
        length: int,
        seed: int,
    ) -> None:
        """Reads the real crops into memory.

        Args:
            grounds: Pictures without plates, for synthetic plates to lie on and to be read as
                nothing.
        """
        pictures = [(read_picture(crop.path), crop.text) for crop in real]
        self._plates = [(p, t) for p, t in pictures if p is not None and t]
        self._empty = [p for p, t in pictures if p is not None and not t]
        self._grounds = grounds
        self._config = config
        self._length = length
        self._seed = seed
        self._street = street(seed)
        self._loosen = A.Compose(
            [
                A.CropAndPad(percent=(-0.05, 0.22), border_mode=cv2.BORDER_REPLICATE,
                             sample_independently=True, keep_size=False, p=0.5),
            ],
            seed=seed,
        )  # fmt: skip
        self.mixture = WITH_REAL
        self.epoch = 0

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng((self._seed, self.epoch, index))
        kind = rng.random()
        if kind < self.mixture.synthetic:
            made = plate_crop(rng, self._grounds, lines=1)
            image, text = made.image, made.text
        elif kind < self.mixture.synthetic + self.mixture.real and self._plates:
            picture, text = self._plates[int(rng.integers(len(self._plates)))]
            image = self._as_crop(picture)
        else:
            text = ""
            if self._empty and rng.random() < 0.4:
                image = self._as_crop(self._empty[int(rng.integers(len(self._empty)))])
            else:
                image = empty_crop(rng, self._grounds)
        if rng.random() < 0.85:
            image = self._street(image)
        return sample(image, text, self._config)

    def _as_crop(self, picture: Image) -> Image:
        loose: Image = self._loosen(image=picture)["image"]
        return cv2.resize(loose, CROP_SIZE, interpolation=cv2.INTER_AREA).astype(np.uint8)


class JudgedCrops(Dataset[Sample]):
    """Crops as they are, once each."""

    def __init__(self, crops: Sequence[Crop], config: CrnnConfig) -> None:
        self._samples = []
        for crop in crops:
            picture = read_picture(crop.path)
            if picture is not None:
                self._samples.append(sample(picture, crop.text, config))

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        return self._samples[index]
