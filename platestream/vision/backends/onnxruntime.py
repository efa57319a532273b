"""ONNX Runtime: everywhere, and on CUDA with its GPU build."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from platestream.errors import SettingsError, WeightsError
from platestream.vision.onnx_file import load_onnx

_FATAL = 4  # its warnings are about our own graph's odd corners, and come on stderr


class OnnxRuntimeBackend:
    """Runs an exported network, whatever the batch's size."""

    def __init__(self, session: ort.InferenceSession, precision: str) -> None:
        self.precision = precision
        self._session = session
        self._input = session.get_inputs()[0].name

    def __call__(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Gives a batch's outputs; see ``Backend``."""
        (outputs,) = self._session.run(None, {self._input: np.ascontiguousarray(batch)})
        return np.asarray(outputs, np.float32)


def load_onnxruntime(
    path: Path, task: str, device: str, threads: int, precision: str
) -> tuple[OnnxRuntimeBackend, dict[str, Any]]:
    """Loads an exported network; see ``load_network``."""
    if precision == "bf16":
        raise SettingsError(
            "onnxruntime computes in fp32 or int8 here; for bf16 use openvino or torch"
        )
    providers = _providers(device)
    file = load_onnx(path, task, precision)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _FATAL
    # replicas share cores: one that waits must not keep its core busy
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(file.content, options, providers=providers)
    except Exception as error:  # its own exceptions have no common base but this
        raise WeightsError(f"onnxruntime cannot read '{path}': {error}") from error
    if device != "cpu" and "CUDAExecutionProvider" not in session.get_providers():
        raise SettingsError(  # it goes on with the CPU otherwise, and only its own log says so
            f"device '{device}' is asked for, but CUDA cannot be used here: no GPU can be seen, "
            "or its driver or libraries do not fit"
        )
    ports = len(session.get_inputs()), len(session.get_outputs())
    if ports != (1, 1):
        raise WeightsError(f"'{path}' has {ports[0]} inputs and {ports[1]} outputs, not one each")
    return OnnxRuntimeBackend(session, "int8" if file.is_quantized else "fp32"), file.header.config


def _providers(device: str) -> list[Any]:
    if device == "cpu":
        return ["CPUExecutionProvider"]
    kind, _, number = device.partition(":")
    if kind != "cuda" or not (number or "0").isdigit():
        raise SettingsError(f"'{device}' is not a device; use cpu, cuda or cuda:0")
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        raise SettingsError(
            f"device '{device}' is asked for, but this onnxruntime has no CUDA: "
            "pip install onnxruntime-gpu, or use backend torch"
        )
    if hasattr(ort, "preload_dlls"):  # CUDA's libraries where pip puts them; no loader looks there
        with contextlib.redirect_stdout(sys.stderr):  # it prints what it does not find
            ort.preload_dlls()
    return [("CUDAExecutionProvider", {"device_id": int(number or 0)}), "CPUExecutionProvider"]
