"""Trained weights on disk: safetensors that say whose they are, what for, of which network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from platestream.errors import WeightsError
from platestream.vision import model_file


@dataclass(frozen=True)
class Weights:
    """Tensors by name, with the network's architecture and the values it is built from."""

    tensors: dict[str, torch.Tensor]
    architecture: str
    config: dict[str, Any]


def save_weights(
    path: Path,
    tensors: Mapping[str, torch.Tensor],
    *,
    task: str,
    architecture: str,
    config: Mapping[str, Any],
) -> None:
    """Writes weights with what is needed to build their network again."""
    metadata = model_file.describe(task, architecture, config)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)


def load_weights(path: Path, task: str) -> Weights:
    """Reads weights; nothing in the file is executed.

    Raises:
        WeightsError: The file is missing, too large, damaged, not made by this project, or for
            another task; or a number in it is not finite.
    """
    model_file.check_size(path, task)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(
            f"'{path}' is not a whole safetensors file ({error}); {model_file.remedy(task)}"
        ) from error
    header = model_file.header(path, task, metadata)
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise WeightsError(
                f"'{path}' is damaged: not all of '{name}' is finite; {model_file.remedy(task)}"
            )
    return Weights(tensors, header.architecture, header.config)
