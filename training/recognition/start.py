"""Where a recognizer's training begins: from nothing, or from weights, for more characters too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from platestream import plates
from platestream.errors import DataError, WeightsError
from platestream.plates import PlateFormats
from platestream.vision import plate_formats, recognition_model, weights
from platestream.vision.decoding import OTHER
from platestream.vision.recognition_model import ARCHITECTURE, LineConfig, Mixer, PlateLine
from training.recognition.slimming import slim

ALPHABET = plates.alphabet() + OTHER  # the shipped recognizer's classes after the blank

_HEAD = ("head.weight", "head.bias")


@dataclass(frozen=True)
class Start:
    """A network to train, and what it is to read.

    Attributes:
        alphabet: Its classes after the blank.
        formats: What the plates may carry.
    """

    net: PlateLine
    alphabet: str
    formats: PlateFormats

    def values(self) -> dict[str, Any]:
        """What lies beside the trained weights."""
        values: dict[str, Any] = {
            "alphabet": self.alphabet,
            "network": self.net.config.as_dict(),
        }
        if self.formats is not plates.shipped():
            values[plate_formats.KEY] = self.formats.values()
        return values


def known_formats(path: Path | None) -> PlateFormats:
    """What plates may carry for the weights to begin from, or where there are none.

    Raises:
        WeightsError: The weights are missing, damaged, or not a recognizer's.
    """
    if path is None:
        return plates.shipped()
    return plate_formats.of_weights(weights.load_weights(path, "recognizer").config, path)


def from_nothing(
    mixer: Mixer = "attention",
    formats: PlateFormats | None = None,
    channels: tuple[int, ...] | None = None,
    blocks: tuple[int, ...] | None = None,
    layers: int | None = None,
) -> Start:
    """An untrained network for Russian plates, and for those of ``formats`` beside them.

    Args:
        channels, blocks, layers: As in ``LineConfig``; None: as many as the shipped network has.

    Raises:
        DataError: The mixer cannot divide the last stage's channels.
    """
    known = known_formats(None)
    if formats is not None:
        known = known.joined(formats)
    alphabet = known.alphabet + OTHER
    config = _shaped(LineConfig(len(alphabet) + 1, mixer=mixer), channels, blocks, layers)
    return Start(PlateLine(config), alphabet, known)


def from_teacher(
    path: Path,
    channels: tuple[int, ...] | None = None,
    blocks: tuple[int, ...] | None = None,
    layers: int | None = None,
    mixer: Mixer | None = None,
    new_mixer: bool = False,
) -> Start:
    """A narrower network than a trained one, with its most important channels (``slim``).

    Args:
        path: The trained one's weights.
        channels, blocks, layers: As in ``LineConfig``; None: as many as the trained one has.
        mixer: None: what the trained one has.
        new_mixer: It begins by chance, even if it is the trained one's.

    Raises:
        WeightsError: The weights are missing, damaged, or not a recognizer's.
        DataError: It is to be wider or deeper somewhere, or the mixer cannot divide the last
            stage's channels.
    """
    whole = from_weights(path)
    config = replace(whole.net.config, mixer=mixer or whole.net.config.mixer)
    config = _shaped(config, channels, blocks, layers)
    return Start(slim(whole.net, config, new_mixer), whole.alphabet, whole.formats)


def _shaped(
    config: LineConfig,
    channels: tuple[int, ...] | None,
    blocks: tuple[int, ...] | None,
    layers: int | None,
) -> LineConfig:
    shaped = replace(
        config,
        channels=channels or config.channels,
        blocks=blocks or config.blocks,
        layers=layers or config.layers,
    )
    parts = {"attention": shaped.heads, "lstm": 2, "none": 1}[shaped.mixer]
    if shaped.channels[-1] % parts:
        raise DataError(
            f"the last stage has {shaped.channels[-1]} channels, which {shaped.mixer} divides by "
            f"{parts}"
        )
    return shaped


def from_weights(
    path: Path, formats: PlateFormats | None = None, mixer: Mixer | None = None
) -> Start:
    """A trained network, with new classes for the characters of ``formats`` that it does not know.

    The last layer keeps its rows for the blank and for every character that it knows. A new
    character's row is that of ``OTHER``, which is what the network has taken the character for,
    with a little noise, so that characters part.

    Args:
        formats: What plates may carry beside what the weights know.
        mixer: What the network must have, if it matters.

    Raises:
        WeightsError: The weights are missing, damaged, or not a recognizer's.
        DataError: They have another mixer.
    """
    loaded = weights.load_weights(path, "recognizer")
    known = plate_formats.of_weights(loaded.config, path)
    if formats is not None:
        known = known.joined(formats)
    try:
        if loaded.architecture != ARCHITECTURE:
            raise ValueError(f"its network is '{loaded.architecture}'")
        before = str(loaded.config["alphabet"])
        built = recognition_model.build(loaded.config["network"])
        built.load_state_dict(loaded.tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"nothing can begin from '{path}': {error}") from error
    if mixer is not None and mixer != built.config.mixer:
        raise DataError(f"'{path}' has the mixer {built.config.mixer}, not {mixer}")
    new = "".join(char for char in known.alphabet if char not in before)
    alphabet = before + new
    net = PlateLine(replace(built.config, classes=len(alphabet) + 1))
    net.load_state_dict(
        {
            name: _with_rows(tensor, before, new) if name in _HEAD else tensor
            for name, tensor in loaded.tensors.items()
        }
    )
    return Start(net, alphabet, known)


def _with_rows(tensor: Tensor, before: str, new: str) -> Tensor:
    """The last layer's weights or biases with a row more for each new character."""
    like = tensor[before.index(OTHER) + 1] if OTHER in before else tensor[1:].mean(0)
    rows = like.expand(len(new), *like.shape)
    noise = torch.randn(rows.shape) * 0.1 * tensor.std()
    return torch.cat([tensor, rows + noise])
