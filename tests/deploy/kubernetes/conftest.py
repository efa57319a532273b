"""Fixtures: the manifests of the example, and of other installations."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deploy.kubernetes.manifests import (
    DEPLOY,
    Document,
    render,
)


@pytest.fixture(scope="session")
def documents() -> list[Document]:
    """Those of the example; not to be changed."""
    return render(DEPLOY / "kubernetes" / "example")


@pytest.fixture
def composed(tmp_path: Path) -> Callable[..., list[Document]]:
    """Renders another installation: takes the text of its kustomization."""
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    folder = tmp_path / "deploy" / "kubernetes" / "other"

    def compose(text: str) -> list[Document]:
        folder.mkdir()
        (folder / "kustomization.yaml").write_text(text)
        return render(folder)

    return compose
