"""Networks that find no plate, in no time: for tests of processes and streams, not of reading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from platestream.vision import model_file
from platestream.vision.heatmap import STRIDE

ALPHABET = "0123456789ABCEHKMOPTXY*"
_HEIGHT, _WIDTH, _STEP = 48, 192, 4  # pixels of the recognizer's input, and for one position


def blind_detector(path: Path) -> Path:
    """Writes a detector: of a pixel a cell, weighed with nothing, it makes maps without a peak."""
    nodes = [
        helper.make_node("Slice", ["pictures", "begin", "end", "axes", "steps"], ["pixels"]),
        helper.make_node("Cast", ["pixels"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["real"], ["cells"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["cells", "weight", "bias"], ["maps"]),
    ]
    of_axes = {"begin": [0, 0], "end": [2**31 - 1] * 2, "axes": [1, 2], "steps": [STRIDE] * 2}
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("pictures", TensorProto.UINT8, ["n", "h", "w", 3])],
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["n", 9, "r", "c"])],
        [
            _tensor("weight", np.zeros((9, 3, 1, 1))),
            _tensor("bias", np.full(9, -20)),
            *(numpy_helper.from_array(np.array(v), name) for name, v in of_axes.items()),
        ],
    )
    return _write(path, graph, "detector", "plate-centres-2", {"score_threshold": 0.6})


def blind_recognizer(path: Path) -> Path:
    """Writes a recognizer: at every position it says that there is no character."""
    classes = len(ALPHABET) + 1
    bias = np.full(classes, -20)
    bias[0] = 20  # the blank
    nodes = [
        helper.make_node(
            "AveragePool",
            ["plates"],
            ["cells"],
            kernel_shape=[_HEIGHT, _STEP],
            strides=[_HEIGHT, _STEP],
        ),
        helper.make_node("Conv", ["cells", "weight", "bias"], ["logits"]),
        helper.make_node("Squeeze", ["logits", "axis"], ["line"]),
        helper.make_node("Transpose", ["line"], ["steps"], perm=[0, 2, 1]),
        helper.make_node("Softmax", ["steps"], ["probabilities"], axis=2),
    ]
    graph = helper.make_graph(
        nodes,
        "recognizer",
        [helper.make_tensor_value_info("plates", TensorProto.FLOAT, ["n", 1, _HEIGHT, _WIDTH])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", "t", classes])],
        [
            _tensor("weight", np.zeros((classes, 1, 1, 1))),
            _tensor("bias", bias),
            numpy_helper.from_array(np.array([2], np.int64), "axis"),
        ],
    )
    config = {"alphabet": ALPHABET, "network": {"height": _HEIGHT, "width": _WIDTH}}
    return _write(path, graph, "recognizer", "plate-line", config)


def _tensor(name: str, values: np.ndarray) -> TensorProto:
    return numpy_helper.from_array(values.astype(np.float32), name)


def _write(
    path: Path, graph: onnx.GraphProto, task: str, architecture: str, config: dict[str, object]
) -> Path:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, model_file.describe(task, architecture, config))
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    return path
