"""The optimizer's step: a bounded gradient, and a learning rate that rises and falls."""

from __future__ import annotations

import math
from typing import Any

from catalyst import dl
from torch import nn

MAX_NORM = 5.0  # of the gradient; CTC's is steep at the beginning


class ClippedBackward(dl.BackwardCallback):  # type: ignore[misc]
    """Backward pass with the gradient's norm bounded; Catalyst's own knows of one model only."""

    def on_batch_end(self, runner: Any) -> None:
        """After each forward pass of training."""
        if runner.is_train_loader:
            runner.engine.backward(runner.batch_metrics[self.metric_key])
            runner.engine.unscale_gradients()
            nn.utils.clip_grad_norm_(runner.model["net"].parameters(), MAX_NORM)


def warm_up_and_cosine(step: int, total: int) -> float:
    """Share of the full learning rate: a linear rise, then half a cosine down to a hundredth."""
    warm = max(1, total // 12)
    if step < warm:
        return (step + 1) / warm
    done = min(1.0, (step - warm) / max(1, total - warm))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))
