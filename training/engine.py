"""What a training computes on."""

from __future__ import annotations

import torch
from catalyst import dl

from platestream.errors import SettingsError
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


def bf16(device: str, precision: str = "auto") -> bool:
    """Whether a forward pass on a CPU is to multiply in bfloat16, with weights in float32.

    Args:
        device: As ``on`` takes it; CUDA's engine has its own bfloat16, so that it is False there.
        precision: ``auto`` is bfloat16 where the CPU has instructions for it: several times as
            fast with them, several times slower without. Or ``bf16`` or ``fp32``.

    Raises:
        SettingsError: There is no such precision.
    """
    if precision not in ("auto", "bf16", "fp32"):
        raise SettingsError(f"no precision '{precision}'; there are auto, bf16 and fp32")
    if device.startswith("cuda") or precision == "fp32":
        return False
    able = torch.cpu.get_capabilities()
    return precision == "bf16" or any(able.get(name) for name in ("amx_bf16", "avx512_bf16"))
