"""The detector's network: small, fully convolutional, a plate-centre heatmap and four corners."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

ARCHITECTURE = "plate-centres-2"


@dataclass(frozen=True, slots=True)
class CentresConfig:
    """What the network is made of.

    Attributes:
        channels: At strides 2, 4, 8, 16, 32 and 64; multiples of 16 suit matrix units.
        blocks: How many residual blocks at strides 8, 16, 32 and 64.
        head: Channels where the strides are merged.
    """

    channels: tuple[int, ...] = (16, 32, 64, 96, 128, 128)
    blocks: tuple[int, ...] = (1, 2, 2, 1)
    head: int = 64

    def as_dict(self) -> dict[str, Any]:
        """As plain values, to be kept beside weights."""
        return asdict(self)


class _Conv(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _Conv(channels, channels)
        self.second = _Conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))  # type: ignore[no-any-return]


class PlateCentres(nn.Module):
    """Finds plates as points, after CenterNet (arXiv:1904.07850), with corners for sizes.

    The strides are merged from the coarsest to the finest (feature pyramid, arXiv:1612.03144);
    the coarsest sees far enough for a plate that fills the picture.

    Input: Nx3xHxW float BGR, 0 to 1; H and W multiples of ``heatmap.GRID``.
    Output: Nx9x(H/8)x(W/8): a logit of "here is a plate's centre", then x and y offsets of the
    four corners from the cell's centre, in units of ``heatmap.OFFSET_SCALE`` pixels.
    """

    def __init__(self, config: CentresConfig) -> None:
        super().__init__()
        self.config = config
        first, second, *others = config.channels
        self.stem = nn.Sequential(_Conv(3, first, 2), _Conv(first, second, 2))
        self.stages = nn.ModuleList(
            nn.Sequential(_Conv(before, after, 2), *(_Residual(after) for _ in range(blocks)))
            for before, after, blocks in zip(
                (second, *others[:-1]), others, config.blocks, strict=True
            )
        )
        self.laterals = nn.ModuleList(_Conv(c, config.head, kernel=1) for c in others)
        self.merges = nn.ModuleList(_Conv(config.head, config.head) for _ in others[1:-1])
        self.smooth = _Conv(config.head, config.head)
        self.head = nn.Conv2d(config.head, 9, 1)
        nn.init.constant_(self.head.bias[:1], -4.6)  # type: ignore[index]  # centres are rare: 1%

    def forward(self, images: Tensor) -> Tensor:
        """Gives the map; see the class."""
        return self.after_stem(self.stem(images))

    def after_stem(self, features: Tensor) -> Tensor:
        """Gives the map from what the stem, the first two layers, makes of pictures."""
        levels = []
        for stage, lateral in zip(self.stages, self.laterals, strict=True):
            features = stage(features)
            levels.append(lateral(features))
        merged = levels.pop()
        for merge, level in zip(self.merges, reversed(levels[1:]), strict=True):
            merged = merge(level + _grow(merged))
        found: Tensor = self.head(self.smooth(levels[0] + _grow(merged)))
        return found


def _grow(features: Tensor) -> Tensor:
    return F.interpolate(features, scale_factor=2.0, mode="nearest")


def build(config: dict[str, Any]) -> PlateCentres:
    """Makes a network from the plain values kept beside weights."""
    return PlateCentres(
        CentresConfig(tuple(config["channels"]), tuple(config["blocks"]), int(config["head"]))
    )
