"""Networks with their weights, between arrays as runtimes take and give them (torch).

What comes out of here is run by the torch backend, and exported for the others.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from platestream.errors import WeightsError
from platestream.vision import detection_model, recognition_model
from platestream.vision.folding import fold
from platestream.vision.weights import Weights


class PlateTexts(nn.Module):
    """The recognizer, for inference.

    Input: Nx1xHxW float32 plates, each with zero mean and unit variance.
    Output: NxTxC float32 probabilities, class 0 the blank; rows sum to 1.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, plates: Tensor) -> Tensor:
        """Gives probabilities; see the class."""
        logits: Tensor = self.model(plates)
        return logits.softmax(-1)


class PlateMaps(nn.Module):
    """The detector, for inference.

    Input: NxHxWx3 uint8 BGR pictures; H and W multiples of 64.
    Output: Nx9x(H/8)x(W/8) float32, as ``PlateCentres`` gives it.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pictures: Tensor) -> Tensor:
        """Gives maps; see the class."""
        maps: Tensor = self.model(pictures.permute(0, 3, 1, 2).float() / 255)
        return maps


def build(path: Path, task: str, weights: Weights) -> nn.Module:
    """Makes the network of weights, batch normalisation folded, ready for inference.

    Args:
        path: Where the weights are from; errors name it.
        task: ``recognizer`` or ``detector``.

    Raises:
        WeightsError: The network is unknown here, or the weights do not fit it.
    """
    known = detection_model if task == "detector" else recognition_model
    if weights.architecture != known.ARCHITECTURE:
        raise WeightsError(f"'{path}' is for an unknown network '{weights.architecture}'")
    try:
        if task == "detector":
            detector = detection_model.build(weights.config["network"])
            detector.load_state_dict(weights.tensors)
            return PlateMaps(fold(detector)).eval()
        recognizer = recognition_model.build(weights.config["network"])
        recognizer.load_state_dict(weights.tensors)
        return PlateTexts(fold(recognizer)).eval()
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"'{path}' does not fit its own network: {error}") from error
