"""Learning from a larger network (distillation, arXiv:1503.02531) beside what is true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from catalyst import dl
from torch import Tensor


class TaughtLoss(dl.Callback):  # type: ignore[misc]  # catalyst has no types
    """Adds what a batch's output lacks of the teacher's to ``loss``, in training alone."""

    def __init__(self, lacks: Callable[[dict[str, Tensor]], Tensor]) -> None:
        """Args: lacks: Makes a loss of a batch, which has ``told``, the teacher's output."""
        super().__init__(order=dl.CallbackOrder.Metric + 1)  # after the loss of what is true
        self._lacks = lacks

    def on_batch_end(self, runner: Any) -> None:
        """Between the loss and the backward pass."""
        if runner.is_train_loader:
            runner.batch_metrics["loss"] = runner.batch_metrics["loss"] + self._lacks(runner.batch)
