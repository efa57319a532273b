"""Trained weights on disk: safetensors that say whose they are, what for, of which network."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from platestream.errors import OutputError, WeightsError
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
    """Writes weights with what is needed to build their network again, whole or not at all.

    Raises:
        OutputError: The file cannot be written.
    """
    metadata = model_file.describe(task, architecture, config)
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, part, metadata)
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise OutputError(f"weights '{path}' cannot be written: {error}") from error


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
