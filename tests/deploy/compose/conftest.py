"""One clone and one set of images for all tests of compose files."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.compose.installation import Installation

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A fresh clone whose images are built; skips the test where there is no engine."""
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "version"], capture_output=True, timeout=60).returncode
    ):
        pytest.skip("no Docker engine answers here")
    folder = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    for name in listed:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    made = Installation(folder, "platestream-test")
    try:
        made.compose("build", timeout=800)
        yield made
    finally:
        made.down()


@pytest.fixture(scope="module")
def installation(clone: Installation) -> Iterator[Installation]:
    """The clone, with nothing running in it yet, and nothing left of what ran."""
    yield clone
    clone.down()
    shutil.rmtree(clone.out, ignore_errors=True)
