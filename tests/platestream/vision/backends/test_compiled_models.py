"""Compiled models on disk: taken from there, never half, never somebody else's, never too many."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("openvino")
pytest.importorskip("onnx")

from platestream.vision.backends import compiled_models
from platestream.vision.backends.compiled_models import default_folder
from platestream.vision.backends.openvino import OpenVinoBackend
from tests.blind_networks import blind_detector, blind_recognizer

PICTURE = np.full((1, 64, 128, 3), 90, np.uint8)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache, an empty one; what of it holds models."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "platestream" / "compiled"


@pytest.fixture
def network(tmp_path: Path) -> bytes:
    return blind_detector(tmp_path / "detector.onnx").read_bytes()


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes that are compiled, not taken from disk."""
    shapes: list[tuple[int, ...]] = []
    compile_ = OpenVinoBackend._compile

    def spy(self: OpenVinoBackend, shape: tuple[int, ...]) -> object:
        shapes.append(shape)
        return compile_(self, shape)

    monkeypatch.setattr(OpenVinoBackend, "_compile", spy)
    return shapes


def run(network: bytes, threads: int = 1) -> np.ndarray:
    return OpenVinoBackend(network, threads, "fp32")(PICTURE)


def test_a_second_process_takes_what_the_first_has_compiled(
    cache: Path, network: bytes, compiled: list[tuple[int, ...]]
) -> None:
    first = run(network)
    assert len(list(cache.iterdir())) == 1
    assert np.array_equal(run(network), first)
    assert compiled == [PICTURE.shape]
    assert cache.stat().st_mode & 0o077 == 0


def test_another_network_or_other_options_have_a_model_of_their_own(
    cache: Path, network: bytes, compiled: list[tuple[int, ...]], tmp_path: Path
) -> None:
    run(network)
    run(network, threads=2)
    other = blind_recognizer(tmp_path / "recognizer.onnx").read_bytes()
    OpenVinoBackend(other, 1, "fp32")(np.zeros((1, 1, 48, 192), np.float32))
    assert len(compiled) == len(list(cache.iterdir())) == 3


@pytest.mark.parametrize(
    "spoil",
    [lambda b: b[: len(b) // 2], lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b""],
    ids=["truncated", "a bit", "empty"],
)
def test_a_damaged_file_is_compiled_anew_and_mended(
    cache: Path,
    network: bytes,
    compiled: list[tuple[int, ...]],
    spoil: Callable[[bytes], bytes],
) -> None:
    first = run(network)
    (path,) = cache.iterdir()
    path.write_bytes(spoil(path.read_bytes()))
    assert np.array_equal(run(network), first)
    assert len(compiled) == 2
    run(network)
    assert len(compiled) == 2


def test_what_openvino_does_not_take_is_compiled_anew(
    cache: Path, network: bytes, compiled: list[tuple[int, ...]]
) -> None:
    first = run(network)
    (path,) = cache.iterdir()
    foreign = b"of another version" * 100
    path.write_bytes(hashlib.sha256(foreign).digest() + foreign)
    assert np.array_equal(run(network), first)
    assert len(compiled) == 2


def test_a_full_disk_costs_only_time(
    network: bytes, mount_disk: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = mount_disk(1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(disk))
    folder = default_folder()
    assert folder is not None
    (disk / "filling").write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize))
    assert run(network).shape == (1, 9, 8, 16)
    assert list(folder.iterdir()) == []


def test_a_folder_that_others_may_write_to_is_not_used(
    cache: Path, network: bytes, compiled: list[tuple[int, ...]]
) -> None:
    run(network)
    cache.chmod(0o777)
    assert default_folder() is None
    run(network)
    assert len(compiled) == 2


def test_without_a_place_for_it_networks_run_all_the_same(
    cache: Path, network: bytes, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("no folder")
    assert default_folder() is None
    assert run(network).shape == (1, 9, 8, 16)


def test_those_used_last_stay(cache: Path, network: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    for threads in (1, 2):
        run(network, threads)
    first, second = sorted(cache.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    half_written = cache / "tmp_of_a_killed_process"
    half_written.write_bytes(bytes(1000))
    for at, path in enumerate((half_written, first, second)):
        os.utime(path, (at, at))
    run(network, threads=1)
    monkeypatch.setattr(compiled_models, "_ALL", 2 * first.stat().st_size + 999)
    run(network, threads=3)
    left = set(cache.iterdir())
    assert first in left
    assert len(left) == 2
    assert not left & {second, half_written}
