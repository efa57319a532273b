"""The recognizer's network: CRNN, convolutions then a recurrent layer, for CTC."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

ARCHITECTURE = "crnn"


@dataclass(frozen=True, slots=True)
class CrnnConfig:
    """What a CRNN is made of.

    Attributes:
        classes: Characters of the alphabet plus one, the blank.
        height, width: Of the grey input picture, in pixels; height is 32.
        channels: Of the five convolution stages.
        hidden: Units of the recurrent layer, each way.
    """

    classes: int
    height: int = 32
    width: int = 160
    channels: tuple[int, int, int, int, int] = (24, 48, 96, 128, 160)
    hidden: int = 128

    def as_dict(self) -> dict[str, Any]:
        """As plain values, to be kept beside weights."""
        return asdict(self)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Crnn(nn.Module):
    """CRNN after Shi et al. 2015 (arXiv:1507.05717), small, with batch normalisation throughout.

    Input: Nx1x32xW float, each picture with zero mean and unit variance.
    Output: (W/4)xNxclasses logits; softmax over the last axis gives CTC's probabilities.
    """

    def __init__(self, config: CrnnConfig) -> None:
        super().__init__()
        self.config = config
        a, b, c, d, e = config.channels
        self.trunk = nn.Sequential(
            _block(1, a),
            nn.MaxPool2d(2),  # 16 x W/2
            _block(a, b),
            nn.MaxPool2d(2),  # 8 x W/4
            _block(b, c),
            _block(c, c),
            nn.MaxPool2d((2, 1)),  # 4 x W/4
            _block(c, d),
            _block(d, d),
            nn.MaxPool2d((2, 1)),  # 2 x W/4
            nn.Conv2d(d, e, (2, 3), padding=(0, 1), bias=False),  # 1 x W/4
            nn.BatchNorm2d(e),
            nn.ReLU(inplace=True),
        )
        self.dropout = nn.Dropout(0.15)
        self.recurrent = nn.LSTM(e, config.hidden, bidirectional=True)
        self.head = nn.Linear(2 * config.hidden, config.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Gives logits; see the class."""
        features = self.trunk(images).squeeze(2).permute(2, 0, 1)
        states, _ = self.recurrent(self.dropout(features))
        logits: Tensor = self.head(self.dropout(states))
        return logits


def build(config: dict[str, Any]) -> Crnn:
    """Makes a network from the plain values kept beside weights."""
    return Crnn(CrnnConfig(**{**config, "channels": tuple(config["channels"])}))


def fold(model: Crnn) -> Crnn:
    """Folds batch normalisation into the convolutions, for inference; changes the model."""
    layers: list[nn.Module] = []
    for layer in model.trunk:
        parts = list(layer) if isinstance(layer, nn.Sequential) else [layer]
        for part in parts:
            if isinstance(part, nn.BatchNorm2d) and isinstance(layers[-1], nn.Conv2d):
                layers[-1] = torch.nn.utils.fusion.fuse_conv_bn_eval(layers[-1].eval(), part.eval())
            else:
                layers.append(part)
    model.trunk = nn.Sequential(*layers)
    return model.eval()
