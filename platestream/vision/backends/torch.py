"""PyTorch: runs weights as they come from training, and on CUDA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from platestream.errors import SettingsError
from platestream.vision import networks
from platestream.vision.canvas import Canvas, Pictures
from platestream.vision.device_memory import to_device, to_host
from platestream.vision.torch_canvas import TorchCanvas
from platestream.vision.weights import load_weights


class TorchBackend:
    """Runs a network, whatever the batch's size."""

    def __init__(self, network: nn.Module, device: torch.device, precision: str) -> None:
        self.device = device
        self._fills = device.type == "cuda"
        self._network = network.to(device)
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.precision = "fp32" if precision == "auto" else precision
        if self.precision == "bf16":
            for module in self._network.modules():
                if isinstance(module, (nn.Conv2d, nn.Linear)):
                    module.bfloat16()  # autocast would do it anew in every call

    def __call__(self, batch: npt.NDArray[Any] | Tensor) -> npt.NDArray[np.float32]:
        """Gives a batch's outputs; see ``Backend``."""
        given = batch if isinstance(batch, Tensor) else to_device(batch, self.device)
        low = torch.autocast(
            self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"
        )
        with torch.inference_mode():
            inputs = self._filled(given)
            with low:
                outputs = self._network(inputs)
            return to_host(outputs[: len(given)].float())

    def canvas(self, pictures: Pictures | Canvas) -> TorchCanvas:
        """Puts pictures where the network runs; see ``Network``."""
        return TorchCanvas.of(pictures, self.device)

    def _filled(self, inputs: Tensor) -> Tensor:
        """A batch of one of a few sizes: CUDA's libraries think anew about each that comes."""
        missing = batch_size(len(inputs)) - len(inputs) if self._fills else 0
        if not missing:
            return inputs
        return torch.cat([inputs, inputs.new_zeros((missing, *inputs.shape[1:]))])


def batch_size(count: int) -> int:
    """So many, or less than half as many more: 1, 2, 3, 4, 6, 8, 12, 16, 24, …"""
    step = max(1, 2 ** ((count - 1).bit_length() - 2)) if count > 4 else 1
    return -(-count // step) * step


def load_torch(
    path: Path, task: str, device: str, threads: int, precision: str
) -> tuple[TorchBackend, dict[str, Any]]:
    """Loads trained weights; see ``load_network``.

    Args:
        threads: CPU threads of torch in the whole process.
    """
    if precision == "int8":
        raise SettingsError("torch computes in fp32 or bf16 here; for int8 use openvino")
    chosen = torch_device(device)
    weights = load_weights(path, task)
    network = networks.build(path, task, weights)
    if threads:
        torch.set_num_threads(threads)
    return TorchBackend(network, chosen, precision), weights.config


def torch_device(name: str) -> torch.device:
    """A torch device by name.

    Raises:
        SettingsError: There is no such device here.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingsError(f"'{name}' is not a device; use cpu, cuda or cuda:0") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SettingsError(f"device '{name}' is asked for, but CUDA is not available here")
    return device
