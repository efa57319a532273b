"""Backends: what runs a network. None of them is imported before it is wanted.

| name | file | devices | precision |
|---|---|---|---|
| ``openvino`` | ``.onnx`` | cpu | fp32, bf16, int8 |
| ``onnxruntime`` | ``.onnx`` | cpu, cuda | fp32, int8 |
| ``torch`` | ``.safetensors`` | cpu, cuda | fp32, bf16 |
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from platestream.errors import SettingsError, WeightsError
from platestream.vision import model_file
from platestream.vision.canvas import Canvas, CpuCanvas, Pictures

# the fastest first, as docs/benchmarks.md has them
ON_CPU = ("openvino", "onnxruntime", "torch")
ON_CUDA = ("torch", "onnxruntime")
_SUFFIX = {"openvino": ".onnx", "onnxruntime": ".onnx", "torch": ".safetensors"}
_QUANTIZED = ".int8.onnx"
PRECISIONS = ("auto", "fp32", "bf16", "int8")


class Backend(Protocol):
    """Runs one network; may be called from several threads."""

    precision: str  # fp32, bf16 or int8: in what it computes

    def __call__(self, batch: Any) -> npt.NDArray[np.float32]:
        """Gives a batch's outputs.

        Args:
            batch: Recognizer: Nx1xHxW float32, detector: NxHxWx3 uint8; see
                ``platestream.vision.networks``. An array, or a tensor of a canvas that the
                network's own ``canvas`` gave.

        Returns:
            Recognizer: NxTxC probabilities, detector: Nx9x(H/8)x(W/8) maps.
        """
        ...


@dataclass(frozen=True, slots=True)
class Network:
    """A network that can be run, and the values that lay beside its weights.

    Attributes:
        canvas: Puts pictures, or those of another canvas, where views of them are best made for
            it: on its own device, if that is a GPU and torch runs it there. Raises ValueError for
            what is no picture.
    """

    path: Path
    backend: str
    run: Backend
    config: dict[str, Any]
    canvas: Callable[[Pictures | Canvas], Canvas] = CpuCanvas


def load_network(
    path: Path | None,
    task: str,
    *,
    backend: str = "auto",
    device: str = "cpu",
    threads: int = 0,
    precision: str = "auto",
    video: bool = False,
) -> Network:
    """Loads a network into a backend.

    Args:
        path: A file of one's own, ``.onnx`` or ``.safetensors``; None: the shipped one.
        task: ``recognizer`` or ``detector``.
        backend: ``auto`` takes the first of ``ON_CPU`` (or ``ON_CUDA``) that is installed and
            reads such a file.
        device: ``cpu``, ``cuda`` or ``cuda:0``.
        threads: CPU threads; 0 leaves it to the backend.
        precision: ``auto`` is, for videos, openvino's int8 where a network is shipped so; else
            bf16 where openvino finds a CPU that computes in it; else fp32. A quantized file of
            one's own is computed in int8.
        video: Of the shipped networks those for the frames of a video, where speed counts more
            than a plate in some hundred: the small ones, and int8.

    Raises:
        WeightsError: The file is missing, damaged, not ours, for another task, or of a kind that
            the backend does not read.
        SettingsError: Backend, device or precision are not there, or do not go together.
    """
    if precision not in PRECISIONS:
        raise SettingsError(f"'{precision}' is not a precision; use {', '.join(PRECISIONS)}")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise SettingsError(f"'{device}' is not a device; use cpu, cuda or cuda:0")
    name = choose(path, backend, device)
    if not reads(name, path):
        raise WeightsError(_misfit(path, task, name))
    path = path or _shipped(task, name, precision, video)
    run: Backend
    if name == "openvino":
        from platestream.vision.backends.openvino import load_openvino

        run, config = load_openvino(path, task, device, threads, precision)
    elif name == "onnxruntime":
        from platestream.vision.backends.onnxruntime import load_onnxruntime

        run, config = load_onnxruntime(path, task, device, threads, precision)
    else:
        from platestream.vision.backends.torch import load_torch

        own, config = load_torch(path, task, device, threads, precision)
        return Network(path, name, own, config, CpuCanvas if device == "cpu" else own.canvas)
    return Network(path, name, run, config)


def _shipped(task: str, backend: str, precision: str, video: bool) -> Path:
    """Which of the shipped files a backend runs; see ``load_network``."""
    quantized = model_file.default_path(task, _QUANTIZED, small=video)
    asked = precision == "int8" and _SUFFIX[backend] == ".onnx"
    gains = precision == "auto" and video and backend == "openvino"
    if (asked or gains) and quantized.is_file():
        return quantized
    return model_file.default_path(task, _SUFFIX[backend], small=video)


def probe(network: Network, batch: npt.NDArray[Any], expected: tuple[int | None, ...]) -> None:
    """Runs a network once, to see that it gives what it should.

    Args:
        expected: The shape of the outputs; None where any number will do.

    Raises:
        WeightsError: It cannot take such a batch, or gives something else, or what is not finite.
    """
    try:
        outputs = network.run(batch)
    except Exception as error:  # of runtimes whose exceptions have no common base but this
        raise WeightsError(
            f"the network of '{network.path}' does not take {batch.shape}: {error}"
        ) from error
    shape = outputs.shape
    fits = len(shape) == len(expected) and all(
        want in (None, got) for want, got in zip(expected, shape, strict=True)
    )
    if not fits:
        raise WeightsError(f"the network of '{network.path}' gives {shape}, not {expected}")
    if not np.isfinite(outputs).all():
        raise WeightsError(f"the network of '{network.path}' gives numbers that are not finite")


def choose(path: Path | None, backend: str, device: str) -> str:
    """Which backend ``load_network`` takes.

    Raises:
        SettingsError: There is no such backend, or none that will do is installed.
    """
    if backend != "auto":
        if backend not in _SUFFIX:
            raise SettingsError(f"'{backend}' is not a backend; use auto, {', '.join(_SUFFIX)}")
        if not installed(backend):
            raise SettingsError(
                f"backend {backend} is not installed: pip install 'platestream[{backend}]'"
            )
        return backend
    order: tuple[str, ...] = ON_CUDA if device.startswith("cuda") else ON_CPU
    order = tuple(name for name in order if reads(name, path)) or order
    for name in order:
        if installed(name):
            return name
    what = f"'{path}'" if path is not None else "the networks"
    raise SettingsError(
        f"nothing here can run {what} on {device}: pip install 'platestream[{order[0]}]'"
    )


def installed(backend: str) -> bool:
    """Whether a backend's package is there; does not import it."""
    return find_spec(backend) is not None


def reads(backend: str, path: Path | None) -> bool:
    """Whether a backend reads such a file; there are shipped ones (None) for all."""
    return path is None or path.suffix == _SUFFIX[backend]


def _misfit(path: Path | None, task: str, backend: str) -> str:
    assert path is not None  # there are shipped files for every backend
    if path.suffix == ".safetensors":
        return (
            f"{backend} does not read '{path}': export it with 'platestream export {task} "
            f"--weights {path.name} --output {path.stem}.onnx', or choose backend torch"
        )
    if path.suffix == ".onnx":
        return f"torch does not read '{path}': choose backend openvino or onnxruntime"
    return f"'{path}' ends in neither .onnx nor .safetensors"
