"""Where a detector's training begins: from nothing, from weights, or from a larger network."""

from __future__ import annotations

from pathlib import Path

from platestream.errors import DataError, WeightsError
from platestream.vision import detection_model, weights
from platestream.vision.detection_model import ARCHITECTURE, CentresConfig, PlateCentres
from training.detection.slimming import slim


def load(path: Path) -> PlateCentres:
    """Loads a network for training.

    Raises:
        WeightsError: The weights are missing, damaged, not a detector's, or of another network.
    """
    loaded = weights.load_weights(path, "detector")
    try:
        if loaded.architecture != ARCHITECTURE:
            raise ValueError(f"its network is '{loaded.architecture}'")
        net = detection_model.build(loaded.config["network"])
        net.load_state_dict(loaded.tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"nothing can begin from '{path}': {error}") from error
    return net


def begin(
    start: Path | None, teacher: PlateCentres | None, shape: CentresConfig | None
) -> PlateCentres:
    """The network to train: from weights, from a teacher's best channels, or from nothing.

    Args:
        start: Weights.
        teacher: A network at least as wide and as deep as the shape.
        shape: None: that of the weights, or the usual one.

    Raises:
        WeightsError: See ``load``.
        DataError: The shape that is wanted is not that of the weights, or more than the teacher's.
    """
    if start is not None:
        net = load(start)
        if shape not in (None, net.config):
            raise DataError(f"'{start}' has the shape {net.config}, not {shape}")
        return net
    shape = shape or CentresConfig()
    return slim(teacher, shape) if teacher is not None else PlateCentres(shape)
