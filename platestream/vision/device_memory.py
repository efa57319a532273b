"""Arrays on their way to a torch device and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def staging(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A tensor in main memory, with anything in it, from which or into which a device copies.

    For CUDA it is page-locked: such a copy runs beside what the CPU goes on to do. torch keeps
    that memory for the next one, and knows until when a copy is under way.
    """
    return torch.empty(shape, dtype=dtype, pin_memory=device.type == "cuda")


def to_device(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    """A small array's values on a device."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(device, non_blocking=True)


def to_host(tensor: Tensor) -> npt.NDArray[Any]:
    """A tensor's values in main memory, owned by the caller.

    On CUDA it waits for them without keeping its core busy, which other processes can use.
    """
    if tensor.device.type != "cuda":
        return np.array(tensor.numpy())
    values = staging(tuple(tensor.shape), tensor.dtype, tensor.device)
    values.copy_(tensor, non_blocking=True)
    wait(tensor.device)
    return values.numpy().copy()  # of its own: page-locked memory is for the next one


def wait(device: torch.device) -> None:
    """Waits until a device has done what it was given so far, as ``to_host`` waits."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            done.record()
            done.synchronize()
