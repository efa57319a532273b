"""Quantization: a network whose convolutions compute in int8, for CPUs that have no bf16.

Ranges of what flows between layers come from what the network is given while it looks at
pictures (Jacob et al. 2018, arXiv:1712.05877). Weights get seven bits: CPUs without VNNI add two
products in sixteen, which eight bits overflow.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from platestream.vision.backends import Backend
from platestream.vision.detector import Detector
from platestream.vision.onnx_file import PRECISION
from platestream.vision.recognizer import Recognizer
from training.export import export, write

Image = npt.NDArray[np.uint8]
Batch = npt.NDArray[Any]

# the layers whose outputs stay in int8 from one convolution to the next
_LAYERS = ["Conv", "Relu", "Add", "Resize"]


def quantize(weights: Path, task: str, pictures: Sequence[Image], output: Path) -> None:
    """Writes a network as ONNX in int8, with what lay beside its weights and their SHA-256.

    Args:
        weights: A safetensors file.
        task: ``recognizer`` or ``detector``.
        pictures: HxWx3 uint8 BGR: plate crops or whole pictures, like those it will see.
        output: An ONNX file; one that is there is replaced.

    Raises:
        WeightsError: The weights are missing, damaged or not ours.
        OutputError: The file cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder, _quiet():
        plain, quantized = Path(folder) / "plain.onnx", Path(folder) / "quantized.onnx"
        export(weights, task, plain)
        model = onnx.load(plain)
        (name,) = (entry.name for entry in model.graph.input)
        in_floats = _in_floats(model.graph)
        quantize_static(
            plain,
            quantized,
            _Calibration(name, _given(plain, task, pictures)),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_LAYERS,
            nodes_to_exclude=sorted(in_floats),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        made = onnx.load(quantized)
        _leave_rounding_out(made.graph, model.graph, in_floats)
    del made.metadata_props[:]
    made.metadata_props.extend(model.metadata_props)
    made.metadata_props.add(key=PRECISION, value="int8")
    write(made, output)


def _in_floats(graph: onnx.GraphProto) -> set[str]:
    """The names of the layers that stay in floats: those that no other convolution comes after.

    One step of int8 in what gives the result is a pixel of a corner, or a tenth of a confidence;
    attention, which comes last, loses as much time in being quantized as it gains.
    """
    leads_to_one: set[str] = set()  # tensors that go into a convolution, by whatever way
    names = set()
    for node in reversed(graph.node):  # ONNX demands that nodes are sorted by what they need
        if leads_to_one.isdisjoint(node.output) and node.op_type != "Relu":  # part of what it ends
            names.add(node.name)
        if node.op_type == "Conv" or node.name not in names:
            leads_to_one.update(node.input)
    return names


def _leave_rounding_out(made: onnx.GraphProto, plain: onnx.GraphProto, in_floats: set[str]) -> None:
    """Removes the rounding of what only layers in floats take: it costs time and exactness.

    Where the rounding had taken the place of a ReLU, as numbers without a sign cut off what is
    negative, the ReLU comes back.
    """
    made_by = {tensor: node for node in plain.node for tensor in node.output}
    for rounding in [node for node in made.node if node.op_type == "QuantizeLinear"]:
        (back,) = _takers(made, rounding.output[0]) or (None,)
        last = _takers(made, back.output[0]) if back else []
        if back is None or not last or not in_floats.issuperset(node.name for node in last):
            continue
        tensor = rounding.input[0]
        relu = made_by.get(tensor)
        at = list(made.node).index(rounding)
        made.node.remove(rounding)
        made.node.remove(back)
        if relu is not None and relu.op_type == "Relu":
            tensor = back.output[0]
            made.node.insert(at, onnx.helper.make_node("Relu", [rounding.input[0]], [tensor]))
        for node in last:
            node.input[list(node.input).index(back.output[0])] = tensor


def _takers(graph: onnx.GraphProto, tensor: str) -> list[onnx.NodeProto]:
    return [node for node in graph.node if tensor in node.input]


class _Recorder:
    """A backend that keeps what it is given."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.precision = backend.precision
        self.batches: list[Batch] = []

    def __call__(self, batch: Batch) -> npt.NDArray[np.float32]:
        self.batches.append(batch.copy())
        return self._backend(batch)


class _Calibration(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self, name: str, batches: Sequence[Batch]) -> None:
        self._batches = iter([{name: batch} for batch in batches])

    def get_next(self) -> dict[str, Batch] | None:
        return next(self._batches, None)


def _given(plain: Path, task: str, pictures: Sequence[Image]) -> list[Batch]:
    """What a network is given while these pictures are looked at: close-ups and all."""
    model: Detector | Recognizer
    if task == "detector":
        model = Detector.load(plain, precision="fp32")
    else:
        model = Recognizer.load(plain, precision="fp32")
    recorder = _Recorder(model.network.run)
    model.network = replace(model.network, run=recorder)
    for picture in pictures:
        if isinstance(model, Detector):
            model.detect(picture)
        else:
            model.predict(picture)
    return recorder.batches


@contextmanager
def _quiet() -> Iterator[None]:
    """Without onnxruntime's advice, which goes to the root logger."""
    before = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(before)
