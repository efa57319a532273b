"""The benchmark of vision on a clip of a few frames: every way to run it counts the same plates."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.vision import draw, measure
from platestream.vision.detector import Detector
from platestream.vision.recognizer import Recognizer

FRAMES = 3


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    draw(path, FRAMES)
    return path


def test_every_way_finds_the_same(clip: Path) -> None:
    pytest.importorskip("torch")
    from platestream.vision.backends.torch import TorchBackend

    detector = Detector.load(backend="torch", threads=1, video=True)
    recognizer = Recognizer.load(backend="torch", threads=1)
    plain = [measure(clip, detector, recognizer, 2, travel) for travel in ("jpeg", "shm")]
    for model in (detector, recognizer):
        assert isinstance(model.network.run, TorchBackend)
        model.network = replace(model.network, canvas=model.network.run.canvas)
    settled: list[None] = []
    on_device = measure(clip, detector, recognizer, 2, "shm", lambda: settled.append(None))
    for one in (*plain, on_device):
        assert (one.frames, one.found, one.accepted) == (FRAMES, 3 * FRAMES, 3 * FRAMES)
        assert 0 < sum(one.seconds.values()) <= one.ended - one.began
    assert "JPEG" in plain[0].seconds
    assert "JPEG" not in plain[1].seconds
    assert len(settled) == (FRAMES + 1) + FRAMES + 2 * 4  # H.264, shared memory, of two batches


def test_several_processes_measure_at_once() -> None:
    command = [sys.executable, "-m", "benchmarks.vision", "--processes", "2", "--pixels", "shm"]
    command += ["--frames", "2", "--batch", "1", "--video"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "12 of 12 accepted" in done.stdout  # of two processes, two frames, three plates
    assert "| shared memory |" in done.stdout
    assert "Each process" in done.stdout


def test_a_process_that_fails_does_not_keep_the_others_waiting() -> None:
    command = [sys.executable, "-m", "benchmarks.vision", "--processes", "2", "--device", "cuda:99"]
    command += ["--frames", "1", "--backend", "openvino"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "cuda:99" in done.stderr
