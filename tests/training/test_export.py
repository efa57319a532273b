"""Export: what is written can be run, and says where it comes from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("onnx", reason="the train extra is not installed")

from platestream.vision import model_file, weights
from platestream.vision.backends import load_network
from platestream.vision.onnx_file import load_onnx
from training import cli


@pytest.mark.parametrize("task", ["recognizer", "detector"])
def test_an_export_runs_as_the_weights_do(task: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    weights = model_file.default_path(task, ".safetensors")
    output = tmp_path / "new" / "m.onnx"
    assert cli.main(["export", task, "--weights", str(weights), "--output", str(output)]) == 0
    assert [p.name for p in output.parent.iterdir()] == ["m.onnx"]
    file = load_onnx(output, task)
    assert file.source_sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    rng = np.random.default_rng(0)
    if task == "detector":
        batch = rng.integers(0, 255, (2, 64, 192, 3), dtype=np.uint8)
    else:
        made = file.header.config["network"]
        batch = rng.normal(0, 1, (3, 1, made["height"], made["width"])).astype(np.float32)
    run, again = (load_network(path, task, threads=1, precision="fp32", backend=backend).run
                  for path, backend in ((output, "onnxruntime"), (weights, "torch")))  # fmt: skip
    assert run(batch) == pytest.approx(again(batch), abs=2e-3)


def test_what_cannot_be_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def export(task: str, source: Path, output: Path) -> str:
        code = cli.main(["export", task, "--weights", str(source), "--output", str(output)])
        assert code == 2
        return capsys.readouterr().err

    output = tmp_path / "m.onnx"
    detector = model_file.default_path("detector", ".safetensors")
    assert "no recognizer weights" in export("recognizer", tmp_path / "none", output)
    assert "not recognizer" in export("recognizer", detector, output)
    path = model_file.default_path("recognizer", ".safetensors")
    shipped = weights.load_weights(path, "recognizer")
    short = tmp_path / "short.safetensors"
    weights.save_weights(
        short,
        shipped.tensors,
        task="recognizer",
        architecture=shipped.architecture,
        config=shipped.config | {"alphabet": "0123456789"},
    )
    assert "classes for an alphabet of 10" in export("recognizer", short, output)
    (tmp_path / "file").write_text("")
    assert "cannot be written" in export("detector", detector, tmp_path / "file" / "m.onnx")
    assert not output.exists()
