"""Model files on disk: where the shipped ones lie, and what each must say of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from platestream.errors import WeightsError

PROJECT = "platestream"
VERSION = "1"
MAX_BYTES = 256 * 2**20  # ours are a few MB; anything near this is something else


@dataclass(frozen=True, slots=True)
class Header:
    """What a model file says of itself: the network's architecture and what it is built from."""

    architecture: str
    config: dict[str, Any]


def default_path(task: str, suffix: str, *, small: bool = False) -> Path:
    """Where the package keeps the model it ships for a task.

    Args:
        task: ``recognizer`` or ``detector``.
        suffix: ``.onnx``, ``.int8.onnx`` or ``.safetensors``.
        small: The smaller network, for video.
    """
    name = f"{task}-small{suffix}" if small else f"{task}{suffix}"
    return Path(str(resources.files("platestream").joinpath("weights", name)))


def remedy(task: str) -> str:
    """What to do about weights that will not do."""
    return f"train them with 'platestream train {task}', or name others"


def check_size(path: Path, task: str) -> None:
    """Looks at a file from outside, before anything of it is read.

    Raises:
        WeightsError: It is missing, may not be looked at, or is too large.
    """
    try:
        is_file, size = path.is_file(), path.stat().st_size
    except FileNotFoundError:
        is_file, size = False, 0
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise WeightsError(f"cannot read {task} weights '{path}': {error}") from error
    if not is_file:
        raise WeightsError(f"no {task} weights at '{path}'; {remedy(task)}")
    if size > MAX_BYTES:
        raise WeightsError(f"'{path}' has {size} bytes; {task} weights have at most {MAX_BYTES}")


def header(path: Path, task: str, metadata: Mapping[str, str]) -> Header:
    """Checks the metadata of a file and reads from it what the network is.

    Raises:
        WeightsError: The file is not made by this project, is for another task or of another
            version, or does not say what network it is for.
    """
    if metadata.get("project") != PROJECT:
        raise WeightsError(f"'{path}' was not made by {PROJECT}; {remedy(task)}")
    if metadata.get("task") != task:
        raise WeightsError(
            f"'{path}' holds {metadata.get('task')} weights, not {task}; {remedy(task)}"
        )
    if metadata.get("version") != VERSION:
        raise WeightsError(
            f"'{path}' is of version {metadata.get('version')}, this is {VERSION}; {remedy(task)}"
        )
    try:
        config = json.loads(metadata["config"])
        if not isinstance(config, dict):
            raise ValueError("its config is not an object")
        return Header(metadata["architecture"], config)
    except (KeyError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"'{path}' does not say what network it is for; {remedy(task)}"
        ) from error


def describe(task: str, architecture: str, config: Mapping[str, Any]) -> dict[str, str]:
    """The metadata that ``header`` reads again."""
    return {
        "project": PROJECT,
        "version": VERSION,
        "task": task,
        "architecture": architecture,
        "config": json.dumps(config, ensure_ascii=False),
    }
