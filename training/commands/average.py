"""``platestream average recognizer|detector``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.arguments import PLAIN, need_training
from training.commands.reports import say

app = typer.Typer(**PLAIN, help="Makes one model of several.")  # type: ignore[arg-type]

Trained = Annotated[
    list[Path], typer.Argument(help="Safetensors files of runs that began from the same weights.")
]
Output = Annotated[Path, typer.Option(help="The weights.")]


@app.command("recognizer")
def _average_recognizer(weights: Trained, output: Output) -> None:
    """Takes the mean of recognizers' weights."""
    _average("recognizer", weights, output)


@app.command("detector")
def _average_detector(weights: Trained, output: Output) -> None:
    """Takes the mean of detectors' weights."""
    _average("detector", weights, output)


def _average(task: str, paths: list[Path], output: Path) -> None:
    need_training()
    from training.averaging import average_weights

    average_weights(task, paths, output)
    say(f"the mean of {len(paths)}: {output}")
