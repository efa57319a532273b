"""The moving average of a net's weights: it is what is judged, kept and shipped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from catalyst import dl
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

_DECAY = 0.998


def moving_average(net: nn.Module) -> AveragedModel:
    """A copy of a net that follows its weights slowly, batch normalisation's included.

    It begins by following fast: an average that still holds the untrained weights is worthless.
    """
    return AveragedModel(net, multi_avg_fn=_follow, use_buffers=True)


def _follow(averages: Sequence[Tensor], currents: Sequence[Tensor], steps: Tensor | int) -> None:
    # of all tensors together: on CUDA each look at the number of steps waits for the GPU
    share = 1 - min(_DECAY, (1 + int(steps)) / (10 + int(steps)))
    for average, current in zip(averages, currents, strict=True):
        if average.is_floating_point():
            average.lerp_(current, share)
        else:  # batch normalisation's count of batches
            average.copy_(current)


class MovingAverage(dl.Callback):  # type: ignore[misc]
    """Keeps the moving average of the net's weights up to date."""

    def __init__(self) -> None:
        super().__init__(order=dl.CallbackOrder.External)

    def on_batch_end(self, runner: Any) -> None:
        """After each step of the optimizer."""
        if runner.is_train_loader:
            runner.model["average"].update_parameters(runner.model["net"])


def best_average(checkpoints: Path) -> tuple[dict[str, torch.Tensor], float]:
    """The averaged weights of a run's best checkpoint, and its score.

    Args:
        checkpoints: The folder of Catalyst's ``CheckpointCallback`` in mode ``runner``.
    """
    stored = json.loads((checkpoints / "runner.storage.json").read_text())["storage"][0]
    return _averaged(Path(stored["logpath"])), float(stored["metric"])


def last_average(checkpoints: Path) -> dict[str, torch.Tensor]:
    """The averaged weights at the end of a run, whatever their score."""
    return _averaged(checkpoints / "runner.last.pth")


def _averaged(path: Path) -> dict[str, torch.Tensor]:
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    prefix = "module."
    return {
        name.removeprefix(prefix): value.contiguous()
        for name, value in checkpoint["model_average_state_dict"].items()
        if name.startswith(prefix)
    }
