"""Averages of weights: a net's moving one, which is judged and kept, and the mean of runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from catalyst import dl
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from platestream.errors import DataError
from platestream.vision import weights

DECAY = 0.998


def moving_average(net: nn.Module, decay: float = DECAY) -> AveragedModel:
    """A copy of a net that follows its weights slowly, batch normalisation's included.

    It begins by following fast: an average that still holds the untrained weights is worthless.

    Args:
        decay: What a step leaves of the average, from 0 (the net's own weights) to below 1.
    """

    def follow(averages: Sequence[Tensor], currents: Sequence[Tensor], steps: Tensor | int) -> None:
        # of all tensors together: on CUDA each look at the number of steps waits for the GPU
        share = 1 - min(decay, (1 + int(steps)) / (10 + int(steps)))
        for average, current in zip(averages, currents, strict=True):
            if average.is_floating_point():
                average.lerp_(current, share)
            else:  # batch normalisation's count of batches
                average.copy_(current)

    return AveragedModel(net, multi_avg_fn=follow, use_buffers=True)


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


def average_weights(task: str, paths: Sequence[Path], output: Path) -> None:
    """Saves the mean of the weights of several runs, with the values of the first.

    Runs that began from the same weights lie in one valley of the loss, and their mean is as good
    as reading with all of them (model soups, arXiv:2203.05482).

    Args:
        task: ``recognizer`` or ``detector``.
        paths: Safetensors files.
        output: Likewise.

    Raises:
        DataError: There is none, or they are of different networks.
        WeightsError: One cannot be read.
    """
    runs = [weights.load_weights(path, task) for path in paths]
    if not runs:
        raise DataError("name the weights that are to be averaged")
    for path, run in zip(paths, runs, strict=True):
        for what in ("network", "alphabet"):
            if run.config.get(what) != runs[0].config.get(what):
                raise DataError(f"'{path}' has another {what} than '{paths[0]}'")
        if _shapes(run) != _shapes(runs[0]):
            raise DataError(f"'{path}' has other tensors than '{paths[0]}'")
    tensors = {
        name: torch.stack([run.tensors[name].double() for run in runs]).mean(0).to(first.dtype)
        for name, first in runs[0].tensors.items()
    }
    weights.save_weights(
        output,
        tensors,
        task=task,
        architecture=runs[0].architecture,
        config=runs[0].config,
    )


def _shapes(run: weights.Weights) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in run.tensors.items()}
