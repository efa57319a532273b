"""``platestream export recognizer|detector``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from platestream.errors import PlatestreamError
from training.commands.arguments import PLAIN
from training.commands.reports import say

app = typer.Typer(**PLAIN, help="Writes a model as ONNX, to be run faster.")  # type: ignore[arg-type]


Trained = Annotated[Path, typer.Option("--weights", help="A safetensors file.")]
Onnx = Annotated[Path, typer.Option(help="An ONNX file.")]


@app.command("recognizer")
def _export_recognizer(weights: Trained, output: Onnx) -> None:
    """Writes a recognizer as ONNX."""
    _export(weights, "recognizer", output)


@app.command("detector")
def _export_detector(weights: Trained, output: Onnx) -> None:
    """Writes a detector as ONNX."""
    _export(weights, "detector", output)


def _export(weights: Path, task: str, output: Path) -> None:
    missing = [name for name in ("torch", "onnx") if find_spec(name) is None]
    if missing:
        raise PlatestreamError(
            f"export needs {' and '.join(missing)}: pip install 'platestream[train]'"
        )
    from training.export import export

    export(weights, task, output)
    say(f"{output.stat().st_size / 2**20:.1f} MiB: {output}")
