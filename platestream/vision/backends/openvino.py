"""OpenVINO: the fastest on CPUs, most of all on those that compute in bf16."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from platestream.errors import SettingsError, WeightsError
from platestream.vision.backends.compiled_models import CompiledModels, default_folder
from platestream.vision.backends.openvino_runtime import ov
from platestream.vision.onnx_file import load_onnx

_SIZES = (1, 2, 4, 8, 16)  # of batches; each is a compiled model of its own
_BATCH_BYTES = 2**20  # what goes in at once; more leaves the cache and gains nothing
_COMPILED = 16  # models kept in memory, of some 10 MB each
_HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoBackend:
    """Runs a network compiled for the very shapes that come.

    A model for any shape would take a quarter longer on a small batch. So a batch is cut into
    batches of a few sizes, filled up where that costs little, and a model is compiled for each
    shape when it first comes, or taken from disk; those used last are kept.
    """

    def __init__(self, content: bytes, threads: int, precision: str) -> None:
        """Takes a network.

        Args:
            content: An ONNX file.
            precision: ``fp32``, ``bf16``, or ``int8`` for a quantized one.

        Raises:
            SettingsError: This CPU does not compute in bf16.
            RuntimeError: openvino cannot read the network.
        """
        self._core = ov.Core()
        can_bf16 = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bf16" and not can_bf16:
            raise SettingsError("this CPU does not compute in bf16; use precision auto or fp32")
        self.precision = precision
        self.model = self._core.read_model(content)
        self._options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # replicas would all be pinned to the same cores
        }
        if precision in _HINTS:  # of a quantized network it is for what has stayed in floats
            self._options["INFERENCE_PRECISION_HINT"] = _HINTS[precision]
        if threads:
            self._options["INFERENCE_NUM_THREADS"] = threads
        self._on_disk = CompiledModels(self._core, content, self._options, default_folder())
        self._compiled: OrderedDict[tuple[int, ...], ov.InferRequest] = OrderedDict()
        self._lock = Lock()

    def __call__(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Gives a batch's outputs; see ``Backend``."""
        most = _BATCH_BYTES // max(1, batch[:1].nbytes)
        parts, at = [], 0
        with self._lock:
            while at < len(batch):
                size = _batch_size(len(batch) - at, most)
                parts.append(self._infer(batch[at : at + size], size))
                at += size
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _infer(self, part: npt.NDArray[Any], size: int) -> npt.NDArray[np.float32]:
        request = self._request((size, *part.shape[1:]))
        if len(part) < size:
            filling = np.zeros((size - len(part), *part.shape[1:]), part.dtype)
            part_and_filling = np.concatenate([part, filling])
        else:
            part_and_filling = np.ascontiguousarray(part)
        results = request.infer([part_and_filling], share_inputs=True, share_outputs=True)
        return np.array(results[0][: len(part)], np.float32)  # a copy: the next call writes there

    def _request(self, shape: tuple[int, ...]) -> ov.InferRequest:
        request = self._compiled.get(shape)
        if request is None:
            declared = self.model.inputs[0].partial_shape
            if not declared.compatible(ov.PartialShape(list(shape))):
                raise ValueError(f"a batch of shape {shape} for a network that takes {declared}")
            model = self._on_disk.get(shape, lambda: self._compile(shape))
            request = model.create_infer_request()
            self._compiled[shape] = request
            if len(self._compiled) > _COMPILED:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(shape)
        return request

    def _compile(self, shape: tuple[int, ...]) -> ov.CompiledModel:
        model = self.model.clone()
        model.reshape(list(shape))
        return self._core.compile_model(model, "CPU", self._options)


def prefers_bf16() -> bool:
    """Whether this CPU computes in bf16; some only imitate it, slowly: openvino knows them."""
    own = ov.Core().get_property("CPU", "INFERENCE_PRECISION_HINT")
    return bool(own == ov.Type.bf16)


def _batch_size(count: int, most: int) -> int:
    """The size of the next batch when so many are left; filled up if a quarter at most is missing.

    Args:
        most: The most that may go in at once; one always may.
    """
    allowed = [size for size in _SIZES if size <= most] or [1]
    larger = next((size for size in allowed if size >= count), allowed[-1])
    if 4 * count >= 3 * larger:
        return larger
    return max(size for size in allowed if size <= count)


def load_openvino(
    path: Path, task: str, device: str, threads: int, precision: str
) -> tuple[OpenVinoBackend, dict[str, Any]]:
    """Loads an exported network; see ``load_network``."""
    if device != "cpu":
        raise SettingsError(f"openvino is for the CPU here; for '{device}' use torch")
    file = load_onnx(path, task, precision)
    if file.is_quantized:
        precision = "int8"
    elif precision == "auto":
        precision = "bf16" if prefers_bf16() else "fp32"
    try:
        backend = OpenVinoBackend(file.content, threads, precision)
    except RuntimeError as error:
        raise WeightsError(f"openvino cannot read '{path}': {_first_line(error)}") from error
    ports = len(backend.model.inputs), len(backend.model.outputs)
    if ports != (1, 1):
        raise WeightsError(f"'{path}' has {ports[0]} inputs and {ports[1]} outputs, not one each")
    return backend, file.header.config


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
