"""Batches for the recognizer: real crops, synthetic ones and pictures without a plate, mixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from platestream.vision.plate_image import network_input
from platestream.vision.recognition_model import LineConfig
from training.recognition.plate_pictures import PlatePicture, as_line, view
from training.synthesis.clutter import empty_crop, foreign_crop
from training.synthesis.crop import plate_crop
from training.transforms import street

Image = npt.NDArray[np.uint8]
Sample = dict[str, Tensor]


@dataclass(frozen=True)
class Mixture:
    """Shares of a batch: synthetic plates, real crops, and pictures without a plate."""

    synthetic: float
    real: float
    empty: float


_FOREIGN = 0.06  # share of the synthetic plates that are other countries'
_STREET = 0.85  # how often what the street does is done to a picture
_STREET_AGAIN = 0.3  # and to a synthetic plate, which has been photographed already
SYNTHETIC_ONLY = Mixture(0.92, 0.0, 0.08)
_WITH_REAL = Mixture(0.30, 0.58, 0.12)
SYNTHETIC_SHARE = _WITH_REAL.synthetic


def with_real(synthetic: float = SYNTHETIC_SHARE) -> Mixture:
    """A mixture with so large a share, 0 to 1, of synthetic plates; the others share the rest."""
    left = (1 - synthetic) / (1 - _WITH_REAL.synthetic)
    return Mixture(synthetic, left * _WITH_REAL.real, left * _WITH_REAL.empty)


def encode(text: str, alphabet: str) -> Tensor:
    """A text as CTC targets: positions in the network's alphabet, from 1; 0 is the blank."""
    return torch.tensor([alphabet.index(c) + 1 for c in text], dtype=torch.long)


def collate(samples: Sequence[Sample]) -> Sample:
    """Puts samples together: CTC's targets lie one after the other, with their lengths beside."""
    return {
        "image": torch.stack([s["image"] for s in samples]),
        "target": torch.cat([s["target"] for s in samples]),
        "target_length": torch.tensor([len(s["target"]) for s in samples]),
    }


def sample(image: Image, text: str, config: LineConfig, alphabet: str) -> Sample:
    """One picture of a line and its text as tensors."""
    array = network_input(image, config.width, config.height)
    return {"image": torch.from_numpy(array)[None], "target": encode(text, alphabet)}


class TrainingCrops(Dataset[Sample]):
    """An endless mixture, made anew each time; ``__len__`` is what one epoch takes of it."""

    def __init__(
        self,
        real: Sequence[PlatePicture],
        grounds: Sequence[Image],
        config: LineConfig,
        alphabet: str,
        *,
        length: int,
        seed: int,
    ) -> None:
        """Keeps the pictures in memory.

        Args:
            alphabet: The network's classes after the blank; texts have no other characters.
            grounds: Pictures without plates, HxWx3 uint8 BGR, for synthetic plates to lie on and
                to be read as nothing.
        """
        self._plates = [p for p in real if p.text]
        self._empty = [p for p in real if not p.text]
        self._grounds = grounds
        self._config = config
        self._alphabet = alphabet
        self._length = length
        self._seed = seed
        self._street = street(seed)
        self.mixture = with_real()
        self.epoch = 0

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng((self._seed, self.epoch, index))
        kind = rng.random()
        drawn = kind < self.mixture.synthetic
        if drawn:
            image, text, lines = self._synthetic(rng)
        elif kind < self.mixture.synthetic + self.mixture.real and self._plates:
            picture = self._plates[int(rng.integers(len(self._plates)))]
            image, text, lines = view(picture, rng), picture.text, picture.lines
        else:
            text, lines = "", 1 if rng.random() < 0.9 else 2
            if self._empty and rng.random() < 0.4:
                image = view(self._empty[int(rng.integers(len(self._empty)))], rng)
            else:
                image = _grey(empty_crop(rng, self._grounds))
        if rng.random() < (_STREET_AGAIN if drawn else _STREET):
            image = self._street(image)
        return sample(as_line(image, lines), text, self._config, self._alphabet)

    def _synthetic(self, rng: np.random.Generator) -> tuple[Image, str, int]:
        if rng.random() < _FOREIGN:
            crop = foreign_crop(rng, self._grounds, known=self._alphabet)
        else:
            crop = plate_crop(rng, self._grounds)
        image = _grey(crop.image)
        if crop.lines == 2:  # its lines can only be told apart where it is warped flat
            size = (0.0, 0.0, float(image.shape[1]), float(image.shape[0]))
            image = view(PlatePicture(image, crop.text, size, crop.corners, 2), rng)
        return image, crop.text, crop.lines


def _grey(image: Image) -> Image:
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.uint8)


class JudgedCrops(Dataset[Sample]):
    """Pictures once as they are, and as often as ``copies`` says as the street spoils them.

    The copies are the same each time. Among sharp pictures alone, of which nearly all are read,
    epochs differ by one or two.
    """

    def __init__(
        self,
        pictures: Sequence[PlatePicture],
        config: LineConfig,
        alphabet: str,
        *,
        copies: int = 0,
    ) -> None:
        self._samples = []
        state = np.random.get_state()
        np.random.seed(0)
        spoil = street(0)
        for picture in pictures:
            x1, y1, x2, y2 = (round(v) for v in picture.box)
            crop = np.ascontiguousarray(picture.image[y1:y2, x1:x2])
            for image in (crop, *(spoil(crop) for _ in range(copies))):
                line = as_line(image, picture.lines)
                self._samples.append(sample(line, picture.text, config, alphabet))
        np.random.set_state(state)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        return self._samples[index]
