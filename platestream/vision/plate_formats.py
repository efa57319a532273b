"""Which plate formats go with a recognizer: a file's, those in its weights, or what is built in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from platestream import plates
from platestream.errors import SettingsError, WeightsError
from platestream.plates import PlateFormats
from platestream.vision.onnx_file import load_onnx
from platestream.vision.safetensors_file import read_header

KEY = "formats"  # of the values beside a recognizer's weights


def choose(weights: Path | None, plates_file: Path | None) -> PlateFormats:
    """The formats that a recognizer would decode with, found without loading its network.

    Args:
        weights: The recognizer's, ``.onnx`` or ``.safetensors``; None: the shipped ones.
        plates_file: What plates may carry, whatever the weights say.

    Raises:
        SettingsError: The plates file is missing, or something in it does not fit.
        WeightsError: The weights are missing or not a recognizer's.
    """
    if plates_file is not None:
        return plates.load(plates_file)
    if weights is None:
        return plates.shipped()
    if weights.suffix == ".onnx":
        return of_weights(load_onnx(weights, "recognizer").header.config, weights)
    return of_weights(read_header(weights, "recognizer").config, weights)


def of_weights(config: Mapping[str, Any], path: Path) -> PlateFormats:
    """The formats that a recognizer was trained for; those built in, where it names none.

    Args:
        config: The values beside the weights.
        path: Where they are from; errors name it.

    Raises:
        WeightsError: What they say of formats makes no sense.
    """
    if KEY not in config:
        return plates.shipped()
    try:
        return plates.from_values(config[KEY], f"formats of '{path}'")
    except SettingsError as error:
        raise WeightsError(f"{error}; name others with a plates file") from error
