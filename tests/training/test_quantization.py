"""Quantization: what is written computes in int8, and nearly the same."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("onnx", reason="the train extra is not installed")
pytest.importorskip("onnxruntime", reason="the train extra is not installed")

import onnx

from platestream.vision import model_file
from platestream.vision.onnx_file import load_onnx
from platestream.vision.recognizer import Recognizer
from training import cli
from training.synthesis.plate import random_text, render_plate
from training.synthesis.scene import Car, Street


def test_a_quantized_recognizer_reads_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    plates = [render_plate(random_text(rng), rng=rng) for _ in range(12)]
    for number, plate in enumerate(plates):
        cv2.imwrite(str(tmp_path / f"{number}.png"), plate)
    weights = model_file.default_path("recognizer", ".safetensors")
    output = tmp_path / "new" / "r.int8.onnx"
    given = ["--data", str(tmp_path), "--weights", str(weights), "--output", str(output)]
    assert cli.main(["quantize", "recognizer", *given]) == 0
    assert [p.name for p in output.parent.iterdir()] == ["r.int8.onnx"]
    file = load_onnx(output, "recognizer")
    assert file.is_quantized
    model = onnx.load_from_string(file.content)
    rounded = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert len(rounded) > 10
    of_the_trunk = [node for node in rounded if "trunk" in node.name or "plates" in node.name]
    assert of_the_trunk == rounded  # attention and what comes after it are in floats
    makers = {tensor: node for node in model.graph.node for tensor in node.output}
    squeezed = next(node for node in model.graph.node if node.op_type == "Squeeze")
    assert makers[squeezed.input[0]].op_type == "Relu"  # not rounded on its way there
    assert file.source_sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert output.stat().st_size < 0.6 * weights.stat().st_size  # attention stays as it was
    own = Recognizer.load(output, backend="onnxruntime")
    assert own.network.run.precision == "int8"
    expected = Recognizer.load(precision="fp32").predict(plates)
    assert [t.text for t in own.predict(plates)] == [t.text for t in expected]


def test_a_detector_is_quantized_from_whole_pictures(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    frame, _ = Street([Car("A301PO174", (40, 40, 160), -1.7, 7.0, 6.0)], 3).frame(0.0)
    cv2.imwrite(str(tmp_path / "images" / "a.png"), frame)
    weights = model_file.default_path("detector", ".safetensors", small=True)
    output = tmp_path / "d.int8.onnx"
    given = ["--data", str(tmp_path), "--weights", str(weights), "--output", str(output)]
    assert cli.main(["quantize", "detector", *given]) == 0
    file = load_onnx(output, "detector")
    assert file.is_quantized
    model = onnx.load_from_string(file.content)
    makers = {tensor: node for node in model.graph.node for tensor in node.output}
    last = makers[model.graph.output[0].name]
    assert [last.op_type, makers[last.input[0]].op_type] == ["Conv", "Relu"]
    assert output.stat().st_size < 0.35 * weights.stat().st_size


def test_what_cannot_be_quantized(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def quantize(data: Path, weights: Path) -> str:
        given = ["--data", str(data), "--weights", str(weights), "--output", str(output)]
        assert cli.main(["quantize", "recognizer", *given]) == 2
        return capsys.readouterr().err

    output = tmp_path / "m.onnx"
    cv2.imwrite(str(tmp_path / "a.png"), np.full((40, 160, 3), 90, np.uint8))
    detector = model_file.default_path("detector", ".safetensors")
    assert "no such folder" in quantize(tmp_path / "none", detector)
    assert "not recognizer" in quantize(tmp_path, detector)
    (tmp_path / "a.png").write_bytes(b"nothing")
    assert "holds no picture to go by" in quantize(tmp_path, detector)
    assert not output.exists()
