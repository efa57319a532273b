"""PyTorch: runs weights as they come from training, and on CUDA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from platestream.errors import SettingsError
from platestream.vision import networks
from platestream.vision.weights import load_weights


class TorchBackend:
    """Runs a network, whatever the batch's size."""

    def __init__(self, network: nn.Module, device: torch.device, precision: str) -> None:
        self._device = device
        self._network = network.to(device)
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.precision = "fp32" if precision == "auto" else precision

    def __call__(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Gives a batch's outputs; see ``Backend``."""
        inputs = torch.from_numpy(np.ascontiguousarray(batch)).to(self._device)
        low = torch.autocast(
            self._device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"
        )
        with torch.inference_mode(), low:
            outputs: npt.NDArray[np.float32] = self._network(inputs).float().cpu().numpy()
        return outputs


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
