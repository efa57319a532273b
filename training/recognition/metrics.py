"""How well texts are read, as Catalyst callbacks and as plain functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from catalyst import dl

from platestream import plates
from platestream.vision.decoding import greedy


def read_texts(logits: torch.Tensor, alphabet: str) -> list[str]:
    """Best-path texts of a batch.

    Args:
        logits: NxTxC; class ``i`` is ``alphabet[i - 1]``.
    """
    probabilities = logits.detach().float().softmax(-1).cpu().numpy()
    return ["".join(c.char for c in greedy(p.astype(np.float32), alphabet)) for p in probabilities]


def target_texts(target: torch.Tensor, lengths: torch.Tensor, alphabet: str) -> list[str]:
    """The texts of a batch's targets, as ``dataset.collate`` lays them out."""
    parts = target.cpu().split(lengths.tolist())
    return ["".join(alphabet[int(i) - 1] for i in part) for part in parts]


class TextMetrics(dl.Callback):  # type: ignore[misc]  # catalyst has no types
    """Exact-match accuracy, character error rate and accuracy on pictures without a plate.

    Loader metrics: ``exact`` (of pictures with a plate), ``cer`` (edits per character of the
    true texts), ``negatives`` (share of pictures without a plate read as empty) and ``score``, by
    which checkpoints are chosen: the share of all pictures read right, less a tenth of the error
    rate, which tells apart epochs that read as many. The mean of exact and negatives would give
    one picture without a plate the weight of a dozen plates, there being so few.
    """

    def __init__(self, alphabet: str, loaders: tuple[str, ...] = ("valid",)) -> None:
        super().__init__(order=dl.CallbackOrder.Metric)
        self._alphabet = alphabet
        self._loaders = loaders
        self._pairs: list[tuple[str, str]] = []

    def on_loader_start(self, runner: Any) -> None:
        """Forgets the last loader."""
        self._pairs = []

    def on_batch_end(self, runner: Any) -> None:
        """Reads a batch."""
        if runner.loader_key in self._loaders:
            batch = runner.batch
            truth = target_texts(batch["target"], batch["target_length"], self._alphabet)
            self._pairs += zip(truth, read_texts(batch["logits"], self._alphabet), strict=True)

    def on_loader_end(self, runner: Any) -> None:
        """Sums up."""
        if runner.loader_key in self._loaders:
            runner.loader_metrics.update(summarize(self._pairs))


def summarize(pairs: list[tuple[str, str]]) -> dict[str, float]:
    """The metrics of (true, read) texts; what has no example counts as perfect."""
    shown = [(t, r) for t, r in pairs if t]
    empty = [r for t, r in pairs if not t]
    characters = sum(len(t) for t, _ in shown)
    exact = sum(t == r for t, r in shown) / len(shown) if shown else 1.0
    negatives = sum(not r for r in empty) / len(empty) if empty else 1.0
    edits = sum(plates.edit_distance(t, r) for t, r in shown)
    cer = edits / characters if characters else 0.0
    right = sum(t == r for t, r in pairs) / len(pairs) if pairs else 1.0
    return {
        "exact": exact,
        "cer": cer,
        "negatives": negatives,
        "score": right - cer / 10,
    }
