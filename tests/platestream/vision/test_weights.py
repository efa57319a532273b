"""Weights on disk: only whole ones of our own are loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from platestream.errors import OutputError, WeightsError
from platestream.vision import model_file, weights

TENSORS = {"a": torch.arange(6.0).reshape(2, 3)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "w.safetensors"
    weights.save_weights(
        made, TENSORS, task="recognizer", architecture="crnn", config={"alphabet": "AB"}
    )
    return made


def test_a_round_trip(path: Path) -> None:
    loaded = weights.load_weights(path, "recognizer")
    assert (loaded.architecture, loaded.config) == ("crnn", {"alphabet": "AB"})
    assert torch.equal(loaded.tensors["a"], TENSORS["a"])


def refused(path: Path, task: str, sentence: str) -> None:
    with pytest.raises(WeightsError, match=sentence) as caught:
        weights.load_weights(path, task)
    assert str(path) in str(caught.value)


def test_missing_empty_rubbish_and_truncated_ones(path: Path, tmp_path: Path) -> None:
    refused(tmp_path / "none.safetensors", "recognizer", "no recognizer weights")
    whole = path.read_bytes()
    for content in (b"", b"rubbish" * 50, whole[:-4], whole[:20]):
        path.write_bytes(content)
        refused(path, "recognizer", "not a whole safetensors file")


def test_numbers_that_are_not_finite(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4] + b"\xff" * 4)
    refused(path, "recognizer", "damaged: not all of 'a' is finite")


def test_those_of_others_or_for_another_task(path: Path, tmp_path: Path) -> None:
    refused(path, "detector", "not detector")
    foreign = tmp_path / "foreign.safetensors"
    save_file(TENSORS, foreign)
    refused(foreign, "recognizer", "not made by platestream")


def test_size_is_bounded_before_reading(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_file, "MAX_BYTES", 10)
    monkeypatch.setattr(weights, "safe_open", lambda *a, **k: pytest.fail("opened"))
    refused(path, "recognizer", "at most 10")


def test_what_cannot_be_written_is_said_and_what_is_there_stays(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    (tmp_path / "folder").mkdir()
    for place in (path / "w.safetensors", tmp_path / "folder", Path("/proc/none/w.safetensors")):
        with pytest.raises(OutputError, match=f"weights '{place}' cannot be written"):
            weights.save_weights(place, TENSORS, task="recognizer", architecture="x", config={})
    assert path.read_bytes() == whole
    assert sorted(one.name for one in tmp_path.iterdir()) == ["folder", path.name]


def test_a_name_that_the_system_refuses(tmp_path: Path) -> None:
    refused(tmp_path / ("x" * 300), "recognizer", "File name too long")
