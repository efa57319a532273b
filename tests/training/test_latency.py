"""Latency: every backend that is installed is timed, and the parts make the whole."""

from __future__ import annotations

import pytest

from platestream.vision import backends, model_file
from training import latency
from training.latency import detector_latency, recognizer_latency


def test_every_installed_backend_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "_BATCHES", (1, 2))
    there = {name for name in backends.ON_CPU if backends.installed(name)}
    rows = recognizer_latency(None, rounds=1)
    assert {row["backend"] for row in rows} == there
    assert {row["batch"] for row in rows} == {1, 2}
    assert all(0 < row["least_ms"] <= row["ms"] for row in rows)


def test_a_file_is_timed_where_it_can_be_read() -> None:
    pytest.importorskip("openvino")
    rows = detector_latency(model_file.default_path("detector", ".onnx"), rounds=1)
    assert "openvino" in {row["backend"] for row in rows}
    assert "torch" not in {row["backend"] for row in rows}
    assert all(row["plates"] == 2 for row in rows)
