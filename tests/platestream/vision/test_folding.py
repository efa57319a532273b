"""Folding changes the work, not the output."""

from __future__ import annotations

import pytest
import torch

from platestream.vision.detection_model import CentresConfig, PlateCentres
from platestream.vision.folding import fold
from platestream.vision.recognition_model import LineConfig, PlateLine


def _used(model: torch.nn.Module) -> torch.nn.Module:
    """With statistics that a training would leave."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return model.eval()


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (lambda: PlateCentres(CentresConfig()), (1, 3, 64, 128)),
        (lambda: PlateLine(LineConfig(classes=24)), (2, 1, 48, 192)),
        (lambda: PlateLine(LineConfig(classes=24, mixer="lstm", layers=1)), (2, 1, 48, 192)),
    ],
)
def test_a_folded_network_gives_the_same(model, shape) -> None:  # type: ignore[no-untyped-def]
    network = _used(model())
    batch = torch.randn(shape)
    with torch.inference_mode():
        before = network(batch)
        after = fold(network)(batch)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())
    assert torch.allclose(before, after, rtol=1e-3, atol=1e-3 * float(before.abs().max()))
