"""What a training computes on."""

from __future__ import annotations

import torch
from catalyst import dl

from platestream.vision.backends.torch import torch_device


def on(device: str) -> dl.Engine:
    """Catalyst's engine for a device: float32 on a CPU, bfloat16 with float32 weights on CUDA.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:0``.

    Raises:
        SettingsError: There is no such device here.
    """
    chosen = torch_device(device)
    if chosen.type == "cpu":
        return dl.CPUEngine()
    if chosen.index is not None:
        torch.cuda.set_device(chosen)
    return dl.GPUEngine(mixed_precision="bf16")
