"""Backends: which one is taken, that they agree, and that torch stays away where it is not used."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from platestream.errors import SettingsError, WeightsError
from platestream.vision import backends, model_file
from platestream.vision.backends import choose, load_network
from platestream.vision.detector import Detector
from platestream.vision.onnx_file import load_onnx
from platestream.vision.recognizer import Recognizer
from training.synthesis.plate import random_text, render_plate
from training.synthesis.scene import Car, Street

TASKS = ("recognizer", "detector")
WAYS = [("openvino", "fp32"), ("openvino", "auto"), ("onnxruntime", "fp32")]
SHIPPED = [(task, small) for task in TASKS for small in (False, True)]
QUANTIZED = [(task, True) for task in TASKS]
loaded = functools.cache(load_network)  # for tests that only ask what a network gives


def need(*names: str) -> None:
    for name in names:
        pytest.importorskip(name)


def inputs(task: str, count: int) -> np.ndarray:
    rng = np.random.default_rng(count)
    if task == "detector":
        pictures = np.stack([Street([], count).frame(0.0)[0] for _ in range(count)])
        return np.ascontiguousarray(pictures[:, :448, :768])
    plates = [render_plate(random_text(rng), rng=rng) for _ in range(count)]
    return shipped_recognizer().inputs(plates)


@functools.cache
def shipped_recognizer() -> Recognizer:
    return Recognizer.load()


def as_shares(task: str, outputs: np.ndarray) -> np.ndarray:
    """The part of the outputs that is probabilities: all of the recognizer's, the map's heat."""
    return outputs if task == "recognizer" else 1 / (1 + np.exp(-outputs[:, 0]))


def test_with_the_default_backend_torch_is_not_imported(tmp_path: Path) -> None:
    need("openvino")
    code = (
        "import sys, numpy as np\n"
        "import services.ocr.service, services.capture.service, services.writer.service\n"
        "import services.visualize.service, platestream.cli, platestream.sequential\n"
        "from platestream.vision.reader import PlateReader\n"
        "reader = PlateReader.load(threads=1)\n"
        "reader.read([np.full((240, 320, 3), 90, np.uint8)])\n"
        "reader._recognizer.predict(np.full((40, 160, 3), 90, np.uint8))\n"
        "assert reader._detector.network.backend == 'openvino'\n"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'safetensors'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


@pytest.mark.parametrize(
    ("task", "small", "ending"),
    [*((*one, ".onnx") for one in SHIPPED), *((*one, ".int8.onnx") for one in QUANTIZED)],
)
def test_the_shipped_onnx_is_the_shipped_safetensors(task: str, small: bool, ending: str) -> None:
    need("safetensors", "torch")
    from platestream.vision.weights import load_weights

    trained = model_file.default_path(task, ".safetensors", small=small)
    exported = load_onnx(model_file.default_path(task, ending, small=small), task)
    assert exported.is_quantized == (ending == ".int8.onnx")
    assert exported.source_sha256 == hashlib.sha256(trained.read_bytes()).hexdigest()
    weights = load_weights(trained, task)
    assert exported.header.config == weights.config
    assert exported.header.architecture == weights.architecture


@pytest.mark.parametrize(("backend", "precision"), WAYS)
@pytest.mark.parametrize("task", TASKS)
def test_outputs_agree_with_torch(task: str, backend: str, precision: str) -> None:
    need("torch", backend)
    batch = inputs(task, 3)
    expected = loaded(None, task, backend="torch", threads=1).run(batch)
    network = loaded(None, task, backend=backend, precision=precision, threads=1)
    found = network.run(batch)
    assert (found.dtype, found.shape) == (np.float32, expected.shape)
    low = network.run.precision == "bf16"
    difference = np.abs(as_shares(task, found) - as_shares(task, expected)).max()
    assert difference < (0.06 if low else 1e-4)
    if task == "detector":  # offsets, in units of 32 pixels; those of cells that are no plate too
        assert np.abs(found[:, 1:] - expected[:, 1:]).max() < (0.25 if low else 2e-3)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
@pytest.mark.parametrize(("task", "small"), QUANTIZED)
def test_int8_agrees_with_fp32(task: str, small: bool, backend: str) -> None:
    need(backend)
    cars = [Car("A301PO174", (40, 40, 160), -1.7, 7.0, 6.0)]
    street = Street(cars, 3).frame(0.0)[0][None, :448, :768]
    batch = np.ascontiguousarray(street) if task == "detector" else inputs(task, 3)
    plain, quantized = (
        loaded(None, task, backend=backend, precision=name, threads=1, video=small)
        for name in ("fp32", "int8")
    )
    assert (plain.run.precision, quantized.run.precision) == ("fp32", "int8")
    expected, found = plain.run(batch), quantized.run(batch)
    assert np.abs(as_shares(task, found) - as_shares(task, expected)).max() < 0.3
    if task == "detector":  # offsets, in units of 32 pixels, where there are plates
        plates = expected[:, 0] > 0
        assert plates.any()
        apart = np.abs(found - expected)[:, 1:].transpose(0, 2, 3, 1)[plates]
        assert np.quantile(apart, 0.9) < 0.1


@pytest.mark.parametrize(
    ("backend", "video", "names"),
    [
        ("openvino", True, ["detector-small.int8.onnx", "recognizer-small.int8.onnx"]),
        ("onnxruntime", True, ["detector-small.onnx", "recognizer-small.onnx"]),
        ("openvino", False, ["detector.onnx", "recognizer.onnx"]),
    ],
)
def test_int8_is_taken_for_videos_with_what_gains_by_it(
    backend: str, video: bool, names: list[str]
) -> None:
    need(backend)
    taken = [
        loaded(None, task, backend=backend, threads=1, video=video).path
        for task in ("detector", "recognizer")
    ]
    assert [path.name for path in taken] == names


def test_a_quantized_file_says_what_it_is_for() -> None:
    need("openvino", "onnxruntime", "torch")
    path = model_file.default_path("recognizer", ".int8.onnx", small=True)
    for backend in ("openvino", "onnxruntime"):
        assert load_network(path, "recognizer", backend=backend).run.precision == "int8"
        with pytest.raises(SettingsError, match="is quantized to int8"):
            load_network(path, "recognizer", backend=backend, precision="fp32")
        with pytest.raises(SettingsError, match="is not quantized: 'platestream quantize"):
            load_network(None, "detector", backend=backend, precision="int8")
    with pytest.raises(SettingsError, match="for int8 use openvino"):
        load_network(None, "recognizer", backend="torch", precision="int8")


@pytest.mark.parametrize(("backend", "precision"), WAYS)
def test_texts_and_corners_are_those_of_torch(backend: str, precision: str) -> None:
    need("torch", backend)
    rng = np.random.default_rng(2)
    plates = [render_plate(random_text(rng), rng=rng) for _ in range(24)]
    cars = [
        Car("A301PO174", (40, 40, 160), -1.7, 7.0, 6.0),
        Car("M807MA71", (90, 90, 90), 1.8, 9.0, 6.0),
    ]
    frame, _ = Street(cars, 3).frame(0.0)

    def read(name: str, in_what: str) -> tuple[list[str], np.ndarray]:
        texts = Recognizer.load(backend=name, precision=in_what, threads=1).predict(plates)
        found = Detector.load(backend=name, precision=in_what, threads=1).detect(frame)
        corners = np.array(sorted(d.corners.tolist() for d in found))
        return [text.text for text in texts], corners

    texts, corners = read(backend, precision)
    expected_texts, expected_corners = read("torch", "fp32")
    assert texts == expected_texts
    assert len(corners) >= 2
    assert corners == pytest.approx(expected_corners, abs=1.0)  # pixels; bf16 has steps of 0.5


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 9, 16, 23])
def test_a_batch_of_any_size_comes_to_the_same_as_one_by_one(count: int) -> None:
    need("openvino")
    network = loaded(None, "recognizer", backend="openvino", precision="fp32", threads=1)
    plates = inputs("recognizer", 23)[:count]
    together = network.run(plates)
    alone = np.concatenate([network.run(plates[i : i + 1]) for i in range(count)])
    assert together == pytest.approx(alone, abs=1e-4)


@pytest.mark.parametrize("count", [1, 5, 7])
def test_a_batch_that_is_filled_up_comes_to_the_same(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("torch")
    network = load_network(None, "recognizer", backend="torch", threads=1)
    plates = inputs("recognizer", count)
    expected = network.run(plates)
    monkeypatch.setattr(network.run, "_fills", True)  # as for CUDA
    assert network.run(plates) == pytest.approx(expected, abs=1e-4)


def test_few_sizes_of_batches_hold_any_number() -> None:
    need("torch")
    from platestream.vision.backends.torch import batch_size

    sizes = [batch_size(count) for count in range(1, 97)]
    assert sorted(set(sizes)) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96]
    assert all(count <= size <= 1.5 * count for count, size in enumerate(sizes, 1))


def test_outputs_stay_what_they_are_after_the_next_call() -> None:
    need("openvino")
    network = load_network(None, "recognizer", backend="openvino", threads=1)
    plates = inputs("recognizer", 2)
    first = network.run(plates[:1])
    before = first.copy()
    network.run(plates[1:])
    assert np.array_equal(first, before)


def test_shapes_without_end_keep_few_compiled_models(monkeypatch: pytest.MonkeyPatch) -> None:
    openvino = pytest.importorskip("platestream.vision.backends.openvino")
    monkeypatch.setattr(openvino, "_COMPILED", 2)
    network = load_network(None, "detector", backend="openvino", threads=1)
    for width in (64, 128, 192, 128):
        maps = network.run(np.zeros((1, 64, width, 3), np.uint8))
        assert maps.shape == (1, 9, 8, width // 8)
    assert len(network.run._compiled) == 2


@pytest.mark.parametrize(
    ("count", "most", "sizes"),
    [
        (1, 28, [1]),
        (3, 28, [4]),
        (5, 28, [4, 1]),
        (7, 28, [8]),
        (9, 28, [8, 1]),
        (13, 28, [16]),
        (40, 28, [16, 16, 8]),
        (5, 3, [2, 2, 1]),
        (3, 0, [1, 1, 1]),
    ],
)
def test_batches_are_cut_into_sizes(count: int, most: int, sizes: list[int]) -> None:
    openvino = pytest.importorskip("platestream.vision.backends.openvino")
    cut = []
    while count > 0:
        cut.append(openvino._batch_size(count, most))
        count -= cut[-1]
    assert cut == sizes


def test_auto_takes_the_first_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"openvino", "onnxruntime", "torch"}
    monkeypatch.setattr(backends, "installed", lambda name: name in there)
    ours, trained = Path("m.onnx"), Path("m.safetensors")
    assert choose(None, "auto", "cpu") == "openvino"
    assert choose(trained, "auto", "cpu") == "torch"
    assert choose(None, "auto", "cuda") == choose(None, "auto", "cuda:1") == "torch"
    assert choose(ours, "auto", "cuda") == "onnxruntime"
    there.discard("openvino")
    assert choose(ours, "auto", "cpu") == "onnxruntime"
    with pytest.raises(SettingsError, match=r"openvino is not installed.*platestream\[openvino\]"):
        choose(None, "openvino", "cpu")
    there.clear()
    there.add("onnxruntime")
    with pytest.raises(SettingsError, match=r"m\.safetensors.*platestream\[torch\]"):
        choose(trained, "auto", "cpu")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"backend": "tensorrt"}, "'tensorrt' is not a backend"),
        ({"precision": "int4"}, "'int4' is not a precision"),
        ({"backend": "openvino", "device": "cuda"}, "openvino is for the CPU"),
        ({"backend": "onnxruntime", "precision": "bf16"}, "onnxruntime computes in fp32"),
        ({"backend": "onnxruntime", "device": "cuda:x"}, "'cuda:x' is not a device"),
        ({"backend": "torch", "device": "abacus"}, "'abacus' is not a device"),
    ],
)
def test_settings_that_do_not_go_together(options: dict[str, str], sentence: str) -> None:
    name = options.get("backend", "")
    if name in backends.ON_CPU:
        need(name)
    with pytest.raises(SettingsError, match=sentence):
        load_network(None, "recognizer", **options)


def test_a_file_that_the_backend_does_not_read() -> None:
    need("openvino", "torch")
    trained = model_file.default_path("recognizer", ".safetensors")
    with pytest.raises(WeightsError, match="platestream export recognizer"):
        load_network(trained, "recognizer", backend="openvino")
    exported = model_file.default_path("recognizer", ".onnx")
    with pytest.raises(WeightsError, match="openvino or onnxruntime"):
        load_network(exported, "recognizer", backend="torch")
    with pytest.raises(WeightsError, match=r"neither \.onnx nor \.safetensors"):
        load_network(Path("weights.pt"), "recognizer")


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_damaged_graph_is_refused(backend: str, tmp_path: Path) -> None:
    need(backend, "onnx")
    import onnx

    model = onnx.load(model_file.default_path("recognizer", ".onnx"))
    model.graph.node[3].op_type = "NoSuchOperator"
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match=f"{backend} cannot read"):
        load_network(path, "recognizer", backend=backend)


def widened(width: int) -> Callable[[dict[str, Any]], object]:
    return lambda config: config["network"].update(width=width)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (widened(1_600_000), "1600000 x"),
        (widened(992), "does not take"),
        (lambda config: config.update(alphabet=config["alphabet"][1:]), "gives .* not"),
        (lambda config: config.pop("alphabet"), "does not say what its network takes"),
        (lambda config: config.update(threshold=math.nan), "a threshold of nan"),
        (lambda config: config.update(threshold=7), "a threshold of 7"),
    ],
)
def test_a_config_that_does_not_fit_the_network(
    backend: str, change: Callable[[dict[str, Any]], object], sentence: str, tmp_path: Path
) -> None:
    need(backend, "onnx")
    import onnx

    model = onnx.load(model_file.default_path("recognizer", ".onnx"))
    (entry,) = (entry for entry in model.metadata_props if entry.key == "config")
    config = json.loads(entry.value)
    change(config)
    entry.value = json.dumps(config)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match=sentence):
        Recognizer.load(path, backend=backend)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_graph_whose_numbers_are_not_finite_is_refused(backend: str, tmp_path: Path) -> None:
    need(backend, "onnx")
    import onnx

    model = onnx.load(model_file.default_path("recognizer", ".onnx"))
    (last,) = (one for one in model.graph.initializer if one.name == "model.head.bias")
    last.raw_data = b"\xff" * len(last.raw_data)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match="not finite"):
        Recognizer.load(path, backend=backend)


def test_a_network_of_the_other_task_that_claims_to_be_a_detector(tmp_path: Path) -> None:
    need("openvino", "onnx")
    import onnx

    model = onnx.load(model_file.default_path("recognizer", ".onnx"))
    for entry in model.metadata_props:
        if entry.key == "task":
            entry.value = "detector"
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match="does not take"):
        Detector.load(path)
