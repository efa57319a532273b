"""A narrower detector begins with the wider one's channels."""

from __future__ import annotations

import pytest
import torch

from platestream.errors import DataError
from platestream.vision.detection_model import CentresConfig, PlateCentres
from training.detection.slimming import slim

WIDE = CentresConfig((8, 16, 16, 24, 24, 24), (1, 2, 1, 1), 16)


@pytest.fixture
def wide() -> PlateCentres:
    torch.manual_seed(0)
    net = PlateCentres(WIDE)
    net.train()
    net(torch.rand(2, 3, 128, 128))  # batch normalisation has seen something
    return net.eval()


def test_one_of_the_same_shape_is_the_same(wide: PlateCentres) -> None:
    pictures = torch.rand(1, 3, 128, 192)
    assert torch.equal(slim(wide, WIDE).eval()(pictures), wide(pictures))


@pytest.mark.parametrize(
    ("where", "config"),
    [
        ("stem.0", CentresConfig((4, *WIDE.channels[1:]), WIDE.blocks, WIDE.head)),
        ("stages.0", CentresConfig((8, 16, 8, 24, 24, 24), WIDE.blocks, WIDE.head)),
        ("laterals merges smooth", CentresConfig(WIDE.channels, WIDE.blocks, 8)),
    ],
)
def test_channels_that_say_nothing_go_first(
    wide: PlateCentres, where: str, config: CentresConfig
) -> None:
    """What only silenced channels did is not missed when they are gone."""
    silence(*(wide.get_submodule(name) for name in where.split()))
    pictures = torch.rand(1, 3, 128, 128)
    thin = slim(wide, config).eval()
    torch.testing.assert_close(thin(pictures), wide(pictures), rtol=1e-4, atol=1e-4)


def silence(*parts: torch.nn.Module) -> None:
    """Every second channel of all convolutions in these gives nothing but zeros."""
    for part in parts:
        for module in part.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.data[::2] = 0
                module.bias.data[::2] = 0


def test_it_has_the_shape_that_is_asked(wide: PlateCentres) -> None:
    config = CentresConfig((8, 8, 8, 16, 16, 16), (1, 1, 1, 1), 8)
    thin = slim(wide, config).eval()
    assert thin.config == config
    assert thin(torch.rand(1, 3, 64, 64)).shape == (1, 9, 8, 8)


@pytest.mark.parametrize(
    "config",
    [
        CentresConfig((9, *WIDE.channels[1:]), WIDE.blocks, WIDE.head),
        CentresConfig(WIDE.channels, (2, 2, 1, 1), WIDE.head),
        CentresConfig(WIDE.channels, WIDE.blocks, 17),
    ],
)
def test_nothing_grows(wide: PlateCentres, config: CentresConfig) -> None:
    with pytest.raises(DataError, match="cannot be made from a smaller one"):
        slim(wide, config)
