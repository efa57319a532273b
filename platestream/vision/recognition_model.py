"""The recognizer's network: residual convolutions, then mixing along the line, for CTC."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ARCHITECTURE = "plate-line"

Mixer = Literal["lstm", "attention", "none"]


@dataclass(frozen=True, slots=True)
class LineConfig:
    """What the network is made of.

    Attributes:
        classes: Characters of the alphabet plus one, the blank.
        height, width: Of the grey input picture, in pixels; multiples of 8 and 4.
        channels: Of the four stages, at heights of 1/2, 1/4, 1/8 and 1/16.
        blocks: Residual blocks of the last three stages.
        mixer: What looks along the whole line: ``lstm`` makes it a CRNN (Shi et al. 2015,
            arXiv:1507.05717), ``attention`` is like SVTR's global mixing (Du et al. 2022,
            arXiv:2205.00159), ``none`` leaves convolutions alone.
        layers: Of the mixer.
    """

    classes: int
    height: int = 48
    width: int = 192
    channels: tuple[int, int, int, int] = (32, 64, 96, 160)
    blocks: tuple[int, int, int] = (1, 1, 1)
    mixer: Mixer = "attention"
    layers: int = 2
    heads: int = 4

    def as_dict(self) -> dict[str, Any]:
        """As plain values, to be kept beside weights."""
        return asdict(self)

    @property
    def steps(self) -> int:
        """Positions along the line at which the network says something."""
        return self.width // 4


class _Conv(nn.Sequential):
    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int] = 3,
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 1,
    ) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False),
            nn.BatchNorm2d(outputs),
        )


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _Conv(channels, channels)
        self.second = _Conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x), inplace=True)), inplace=True)


class _Attention(nn.Module):
    """A pre-norm transformer layer (Xiong et al. 2020, arXiv:2002.04745) over the positions."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)
        self.feed = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.GELU(approximate="tanh"),
            nn.Dropout(dropout),
            nn.Linear(2 * width, width),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        q, k, v = self.project(self.norm(x)).reshape(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).permute(0, 2, 1, 3).reshape(n, t, c)
        x = x + self.dropout(self.merge(mixed))
        return x + self.dropout(self.feed(x))  # type: ignore[no-any-return]


class _Along(nn.Module):
    """The mixing stage: NxTxC in, NxTxC out."""

    def __init__(self, config: LineConfig) -> None:
        super().__init__()
        width = config.channels[-1]
        self.kind = config.mixer
        self.dropout = nn.Dropout(0.1)
        if config.mixer == "lstm":
            self.lstm = nn.LSTM(
                width, width // 2, config.layers, bidirectional=True, batch_first=True
            )
        elif config.mixer == "attention":
            self.places = nn.Parameter(torch.randn(1, config.steps, width) * 0.02)
            self.layers = nn.ModuleList(
                _Attention(width, config.heads, 0.1) for _ in range(config.layers)
            )
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(x)
        if self.kind == "lstm":
            x = self.lstm(x)[0]
        elif self.kind == "attention":
            x = x + self.places
            for layer in self.layers:
                x = layer(x)
        mixed: Tensor = self.norm(x)
        return mixed


class PlateLine(nn.Module):
    """Reads one line of a plate.

    Input: Nx1xHxW float, each picture with zero mean and unit variance.
    Output: NxTxclasses logits, T = W/4; softmax over the last axis gives CTC's probabilities.
    """

    def __init__(self, config: LineConfig) -> None:
        super().__init__()
        self.config = config
        a, b, c, d = config.channels
        x, y, z = config.blocks
        self.trunk = nn.Sequential(
            _Conv(1, a, 3, 2),  # H/2 x W/2
            nn.ReLU(inplace=True),
            _Conv(a, a),
            nn.ReLU(inplace=True),
            _Conv(a, b, 3, 2),  # H/4 x W/4
            nn.ReLU(inplace=True),
            *(_Residual(b) for _ in range(x)),
            _Conv(b, c, 3, (2, 1)),  # H/8 x W/4
            nn.ReLU(inplace=True),
            *(_Residual(c) for _ in range(y)),
            _Conv(c, d, 3, (2, 1)),  # H/16 x W/4
            nn.ReLU(inplace=True),
            *(_Residual(d) for _ in range(z)),
            _Conv(d, d, (config.height // 16, 3), 1, (0, 1)),  # 1 x W/4
            nn.ReLU(inplace=True),
        )
        self.along = _Along(config)
        self.head = nn.Linear(d, config.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Gives logits; see the class."""
        features = self.trunk(images).squeeze(2).transpose(1, 2)
        logits: Tensor = self.head(self.along(features))
        return logits


def build(config: dict[str, Any]) -> PlateLine:
    """Makes a network from the plain values kept beside weights."""
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in config.items()
    }
    return PlateLine(LineConfig(**values))
