"""The mean of several runs' weights."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("catalyst", reason="the train extra is not installed")
import torch

from platestream.errors import DataError
from platestream.vision import weights
from training.averaging import average_weights, moving_average


def save(path: Path, value: float, batches: int, alphabet: str = "AB") -> Path:
    tensors = {"w": torch.full((2,), value), "n": torch.tensor(batches)}
    config = {"network": {}, "alphabet": alphabet}
    weights.save_weights(path, tensors, task="recognizer", architecture="x", config=config)
    return path


def test_the_mean_of_weights_and_the_first_one_s_values(tmp_path: Path) -> None:
    runs = [save(tmp_path / f"{value}.safetensors", value, 10) for value in (1.0, 2.0, 6.0)]
    average_weights("recognizer", runs, tmp_path / "mean.safetensors")
    mean = weights.load_weights(tmp_path / "mean.safetensors", "recognizer")
    assert mean.tensors["w"].tolist() == [3.0, 3.0]
    assert mean.tensors["w"].dtype == torch.float32
    assert (int(mean.tensors["n"]), mean.tensors["n"].dtype) == (10, torch.int64)
    assert mean.config["alphabet"] == "AB"


def test_runs_of_different_networks_have_no_mean(tmp_path: Path) -> None:
    one, other = save(tmp_path / "a", 1.0, 1), save(tmp_path / "b", 1.0, 1, alphabet="ABC")
    with pytest.raises(DataError, match=r"b' has another alphabet than .*a'"):
        average_weights("recognizer", [one, other], tmp_path / "mean.safetensors")


def test_tensors_that_do_not_fit_each_other_have_no_mean(tmp_path: Path) -> None:
    one, other = save(tmp_path / "a", 1.0, 1), tmp_path / "b"
    for tensors in ({"w": torch.zeros(3), "n": torch.tensor(1)}, {"w": torch.zeros(2)}):
        config = {"network": {}, "alphabet": "AB"}
        weights.save_weights(other, tensors, task="recognizer", architecture="x", config=config)
        with pytest.raises(DataError, match=r"b' has other tensors than .*a'"):
            average_weights("recognizer", [one, other], tmp_path / "mean.safetensors")


@pytest.mark.parametrize(("decay", "expected"), [(0.0, 8.0), (0.5, 6.0)])
def test_a_moving_average_follows_as_fast_as_it_is_told(decay: float, expected: float) -> None:
    net = torch.nn.Linear(1, 1, bias=False)
    average = moving_average(net, decay)
    with torch.no_grad():
        for steps in range(60):  # it begins by following faster than that
            net.weight.fill_(4.0 if steps < 59 else 8.0)
            average.update_parameters(net)
    assert float(average.module.weight) == pytest.approx(expected, abs=0.01)
