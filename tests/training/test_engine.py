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


def test_a_cpu_multiplies_in_bfloat16_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    for able, expected in (
        ({"amx_bf16": True}, True),
        ({"avx512_bf16": True}, True),
        ({"avx2": True, "amx_bf16": False}, False),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able)
        assert engine.bf16("cpu") is expected
        assert engine.bf16("cpu", "bf16")
        assert not engine.bf16("cpu", "fp32")
        assert not engine.bf16("cuda:0")


def test_a_precision_that_there_is_not_is_refused() -> None:
    with pytest.raises(SettingsError, match="no precision 'fp16'; there are auto, bf16 and fp32"):
        engine.bf16("cpu", "fp16")
