"""What a training computes on."""

from __future__ import annotations

import pytest

pytest.importorskip("catalyst", reason="the train extra is not installed")
import torch
from catalyst import dl

from platestream.errors import SettingsError
from training import engine


def test_a_cpu_computes_in_float32() -> None:
    chosen = engine.on("cpu")
    assert isinstance(chosen, dl.CPUEngine)
    assert chosen.mixed_precision == "no"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_computes_in_bfloat16() -> None:
    chosen = engine.on("cuda:0")
    assert isinstance(chosen, dl.GPUEngine)
    assert (chosen.device.type, chosen.mixed_precision) == ("cuda", "bf16")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_where_no_gpu_is_it_says_so() -> None:
    with pytest.raises(SettingsError, match="'cuda' is asked for, but CUDA is not available here"):
        engine.on("cuda")
