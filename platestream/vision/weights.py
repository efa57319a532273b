"""Model weights on disk: safetensors that say whose they are, what for, and of which network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from platestream.errors import WeightsError

PROJECT = "platestream"
VERSION = "1"
MAX_BYTES = 256 * 2**20  # ours are a few MB; anything near this is something else


@dataclass(frozen=True)
class Weights:
    """Tensors by name, with the network's architecture and the values it is built from."""

    tensors: dict[str, torch.Tensor]
    architecture: str
    config: dict[str, Any]


def default_path(task: str) -> Path:
    """Where the package keeps the weights it ships for a task (``recognizer``, ``detector``)."""
    return Path(str(resources.files("platestream").joinpath(f"weights/{task}.safetensors")))


def save_weights(
    path: Path,
    tensors: Mapping[str, torch.Tensor],
    *,
    task: str,
    architecture: str,
    config: Mapping[str, Any],
) -> None:
    """Writes weights with what is needed to build their network again."""
    metadata = {
        "project": PROJECT,
        "version": VERSION,
        "task": task,
        "architecture": architecture,
        "config": json.dumps(config, ensure_ascii=False),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)


def load_weights(path: Path, task: str) -> Weights:
    """Reads weights; nothing in the file is executed.

    Raises:
        WeightsError: The file is missing, too large, damaged, not made by this project, or for
            another task.
    """
    remedy = f"train them with 'platestream train {task}', or name others"
    if not path.is_file():
        raise WeightsError(f"no {task} weights at '{path}'; {remedy}")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise WeightsError(f"'{path}' has {size} bytes; {task} weights have at most {MAX_BYTES}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(
            f"'{path}' is not a whole safetensors file ({error}); {remedy}"
        ) from error
    if metadata.get("project") != PROJECT:
        raise WeightsError(f"'{path}' was not made by {PROJECT}; {remedy}")
    if metadata.get("task") != task:
        raise WeightsError(f"'{path}' holds {metadata.get('task')} weights, not {task}; {remedy}")
    if metadata.get("version") != VERSION:
        raise WeightsError(
            f"'{path}' is of version {metadata.get('version')}, this is {VERSION}; {remedy}"
        )
    try:
        config = json.loads(metadata["config"])
        return Weights(tensors, metadata["architecture"], config)
    except (KeyError, ValueError) as error:
        raise WeightsError(f"'{path}' does not say what network it is for; {remedy}") from error
