"""ONNX files on disk: only whole ones of our own reach a runtime."""

from __future__ import annotations

from pathlib import Path

import pytest

from platestream.errors import WeightsError
from platestream.vision import model_file
from platestream.vision.onnx_file import load_onnx

onnx = pytest.importorskip("onnx", reason="the train extra is not installed")


def write(path: Path, **changed: str | None) -> Path:
    """A tiny model that says it is ours, but for what is changed."""
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])], "g", [value],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])],
    )  # fmt: skip
    model = onnx.helper.make_model(graph)
    metadata = model_file.describe("recognizer", "crnn", {"alphabet": "AB"})
    for key, text in {**metadata, "source_sha256": "ab", **changed}.items():
        if text is not None:
            entry = model.metadata_props.add()
            entry.key, entry.value = key, text
    path.write_bytes(model.SerializeToString())
    return path


def refused(path: Path, sentence: str, task: str = "recognizer") -> None:
    with pytest.raises(WeightsError, match=sentence) as caught:
        load_onnx(path, task)
    assert str(path) in str(caught.value)


def test_what_it_says_of_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx")
    file = load_onnx(path, "recognizer")
    assert (file.header.architecture, file.header.config) == ("crnn", {"alphabet": "AB"})
    assert file.source_sha256 == "ab"
    assert file.content == path.read_bytes()


def test_missing_empty_rubbish_and_truncated_ones(tmp_path: Path) -> None:
    refused(tmp_path / "none.onnx", "no recognizer weights")
    path = write(tmp_path / "m.onnx")
    whole = path.read_bytes()
    for content in (b"", b"rubbish" * 50, whole[:-4], whole[:20], b"\xff" * 40, b"\x72\x02\x0a"):
        path.write_bytes(content)
        refused(path, "not a whole ONNX file")


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx")
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        try:
            file = load_onnx(path, "recognizer")
        except WeightsError:
            continue
        # the metadata comes first or last; a cut may fall just behind all that is ours
        assert file.header.config == {"alphabet": "AB"}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"project": None}, "not made by platestream"),
        ({"project": "other"}, "not made by platestream"),
        ({"task": "detector"}, "holds detector weights, not recognizer"),
        ({"version": "0"}, "of version 0"),
        ({"config": None}, "does not say what network"),
        ({"config": "["}, "does not say what network"),
        ({"config": "[1]"}, "does not say what network"),
        ({"config": "[" * 100_000}, "does not say what network"),
        ({"architecture": None}, "does not say what network"),
    ],
)
def test_those_of_others(tmp_path: Path, changed: dict[str, str | None], sentence: str) -> None:
    refused(write(tmp_path / "m.onnx", **changed), sentence)


def test_size_is_bounded_before_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "m.onnx")
    monkeypatch.setattr(model_file, "MAX_BYTES", 10)
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("read"))
    refused(path, "at most 10")
