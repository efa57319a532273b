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

# the layers whose outputs stay in int8 from one convolution to the next; attention is in floats
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
        (result,) = (entry.name for entry in model.graph.output)
        quantize_static(
            plain,
            quantized,
            _Calibration(name, _given(plain, task, pictures)),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_LAYERS,
            # what gives the result stays in floats: one step of int8 there is a pixel of a corner
            nodes_to_exclude=[node.name for node in model.graph.node if result in node.output],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        made = onnx.load(quantized)
    del made.metadata_props[:]
    made.metadata_props.extend(model.metadata_props)
    made.metadata_props.add(key=PRECISION, value="int8")
    write(made, output)


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
