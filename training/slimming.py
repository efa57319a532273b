"""Channels of convolutions: which of them matter most, and copies of those into narrower ones.

A channel counts for as much as it varies (its batch normalisation's scale) times what the layers
after it make of it; network slimming (arXiv:1708.06519) asks for the first alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


def width(conv: nn.Module) -> int:
    """How many channels a convolution, with its normalisation, gives."""
    return int(_convolution(conv).weight.shape[0])


def _convolution(conv: nn.Module) -> nn.Conv2d:
    return next(m for m in conv.modules() if isinstance(m, nn.Conv2d))


def _norm(conv: nn.Module) -> nn.BatchNorm2d:
    return next(m for m in conv.modules() if isinstance(m, nn.BatchNorm2d))


def best(makes: Sequence[nn.Module], uses: Iterable[nn.Module], count: int) -> Tensor:
    """Which channels, in their order, of those that some convolutions make and others use."""
    varies = sum((_norm(conv).weight ** 2 for conv in makes), torch.zeros(())).sqrt()
    used: Tensor = torch.zeros(())
    for conv in uses:
        weight = _convolution(conv).weight
        if not isinstance(conv, nn.Conv2d):  # as it is once normalised
            norm = _norm(conv)
            assert norm.running_var is not None
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            weight = weight * scale[:, None, None, None]
        used = used + (weight**2).sum((0, 2, 3))
    return (varies * used.sqrt()).topk(count).indices.sort().values


def take(thin: nn.Module, wide: nn.Module, outputs: Tensor, inputs: Tensor | None) -> None:
    """Copies a convolution's and its normalisation's channels; no ``inputs`` are all of them."""
    weight = _convolution(wide).weight[outputs]
    _convolution(thin).weight.copy_(weight if inputs is None else weight[:, inputs])
    for name, tensor in _norm(thin).state_dict().items():
        of = _norm(wide).state_dict()[name]
        tensor.copy_(of[outputs] if of.ndim else of)
