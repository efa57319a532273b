"""Export of trained weights to ONNX, for runtimes that are faster than torch."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from pathlib import Path

import onnx
import torch

from platestream.errors import OutputError, WeightsError
from platestream.vision import model_file, networks
from platestream.vision.onnx_file import SOURCE
from platestream.vision.weights import Weights, load_weights

# the least opset that both networks fit: old runtimes read it too
OPSET = 17


def export(weights: Path, task: str, output: Path) -> None:
    """Writes a network as ONNX, with what lay beside its weights and their SHA-256.

    The recognizer takes any number of plates; the detector any number of pictures, of any height
    and width that are multiples of 64. See ``platestream.vision.networks`` for inputs and outputs.

    Args:
        weights: A safetensors file.
        task: ``recognizer`` or ``detector``.
        output: An ONNX file; one that is there is replaced.

    Raises:
        WeightsError: The weights are missing, damaged or not ours.
        OutputError: The file cannot be written.
    """
    loaded = load_weights(weights, task)
    network = networks.build(weights, task, loaded)
    model = onnx.load_from_string(_traced(network, task, loaded, weights))
    for node in model.graph.node:
        node.doc_string = ""
    metadata = model_file.describe(task, loaded.architecture, loaded.config)
    metadata[SOURCE] = hashlib.sha256(weights.read_bytes()).hexdigest()
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    write(model, output)


def write(model: onnx.ModelProto, output: Path) -> None:
    """Writes a model, whole or not at all.

    Raises:
        OutputError: The file cannot be written.
    """
    onnx.checker.check_model(model, full_check=True)
    part = output.with_name(f"{output.name}.part")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(model.SerializeToString(deterministic=True))
        os.replace(part, output)
    except OSError as error:
        raise OutputError(f"'{output}' cannot be written: {error}") from error


def _traced(network: torch.nn.Module, task: str, loaded: Weights, path: Path) -> bytes:
    if task == "detector":
        example = torch.zeros(1, 64, 128, 3, dtype=torch.uint8)
        free = {
            "pictures": {0: "pictures", 1: "height", 2: "width"},
            "maps": {0: "pictures", 2: "rows", 3: "columns"},
        }
    else:
        try:
            made = loaded.config["network"]
            example = torch.zeros(2, 1, int(made["height"]), int(made["width"]))
            known = len(str(loaded.config["alphabet"]))
            if known + 1 != made["classes"]:
                raise ValueError(f"it has {made['classes']} classes for an alphabet of {known}")
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"'{path}' does not say what its network takes: {error}") from error
        free = {"plates": {0: "plates"}, "probabilities": {0: "plates"}}
    names = list(free)
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        # the tracing exporter is called deprecated; the newer one needs a package more
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (example,),
            buffer,
            input_names=names[:1],
            output_names=names[1:],
            dynamic_axes=free,
            opset_version=OPSET,
            dynamo=False,
        )
    return buffer.getvalue()
