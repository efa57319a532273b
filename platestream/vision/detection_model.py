"""The detector's network: small, fully convolutional, a plate-centre heatmap and four corners."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ARCHITECTURE = "plate-centres"


@dataclass(frozen=True, slots=True)
class CentresConfig:
    """What the network is made of: channels at strides 2, 4, 8, 16 and 32, and of the head."""

    channels: tuple[int, int, int, int, int] = (16, 32, 48, 80, 112)
    head: int = 48

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

    Input: Nx3xHxW float BGR, 0 to 1; H and W multiples of 32.
    Output: Nx9x(H/8)x(W/8): a logit of "here is a plate's centre", then x and y offsets of the
    four corners from the cell's centre, in units of ``heatmap.OFFSET_SCALE`` pixels.
    """

    def __init__(self, config: CentresConfig) -> None:
        super().__init__()
        self.config = config
        a, b, c, d, e = config.channels
        self.stem = nn.Sequential(_Conv(3, a, 2), _Conv(a, b, 2))
        self.fine = nn.Sequential(_Conv(b, c, 2), _Residual(c))
        self.middle = nn.Sequential(_Conv(c, d, 2), _Residual(d))
        self.coarse = nn.Sequential(_Conv(d, e, 2), _Residual(e))
        self.from_fine = _Conv(c, config.head, kernel=1)
        self.from_middle = _Conv(d, config.head, kernel=1)
        self.from_coarse = _Conv(e, config.head, kernel=1)
        self.merge = _Conv(config.head, config.head)
        self.smooth = _Conv(config.head, config.head)
        self.head = nn.Conv2d(config.head, 9, 1)
        nn.init.constant_(self.head.bias[:1], -4.6)  # type: ignore[index]  # centres are rare: 1%

    def forward(self, images: Tensor) -> Tensor:
        """Gives the map; see the class."""
        fine = self.fine(self.stem(images))
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        merged = self.from_middle(middle) + _grow(self.from_coarse(coarse))
        merged = self.from_fine(fine) + _grow(self.merge(merged))
        found: Tensor = self.head(self.smooth(merged))
        return found


def _grow(features: Tensor) -> Tensor:
    return F.interpolate(features, scale_factor=2.0, mode="nearest")


def build(config: dict[str, Any]) -> PlateCentres:
    """Makes a network from the plain values kept beside weights."""
    return PlateCentres(CentresConfig(tuple(config["channels"]), int(config["head"])))


def fold(model: PlateCentres) -> PlateCentres:
    """Folds batch normalisation into the convolutions, for inference; changes the model."""
    model.eval()
    for module in model.modules():
        if isinstance(module, _Conv) and isinstance(module[1], nn.BatchNorm2d):
            convolution = module[0]
            assert isinstance(convolution, nn.Conv2d)
            module[0] = torch.nn.utils.fusion.fuse_conv_bn_eval(convolution, module[1])
            module[1] = nn.Identity()
    return model
