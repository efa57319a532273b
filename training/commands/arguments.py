"""What several commands take, and what they need before they can start."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from platestream import options
from platestream.errors import DataError, OutputError, PlatestreamError
from training import tables

CHECKED = Path(__file__).parents[1] / "data"  # lists of what was looked at by eye
PLAIN = {"add_completion": False, "pretty_exceptions_enable": False, "no_args_is_help": True}

Data = Annotated[Path, typer.Option(help="The folder with the pictures.")]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1)]
LearningRate = Annotated[float, typer.Option(min=0.0, max=1.0)]
Patience = Annotated[int, typer.Option(min=1, help="Epochs without a better score.")]
Logs = Annotated[Path, typer.Option(help="Checkpoints, TensorBoard and CSV logs.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in --logs.")]
Weights = Annotated[Path | None, typer.Option(help="Default: the shipped ones.")]
Device = options.Device
Backend = options.Backend
Json = options.Json
Precision = Annotated[str, typer.Option(help="auto, fp32 or bf16.")]
Latency = Annotated[bool, typer.Option("--latency", help="Time every backend on one core too.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that make training pictures.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads of the network.")]


def need_training() -> None:
    """Sees that what training needs is installed.

    Raises:
        PlatestreamError: It is not.
    """
    missing = [name for name in ("torch", "catalyst", "albumentations") if find_spec(name) is None]
    if missing:
        raise PlatestreamError(
            f"training needs {' and '.join(missing)}: pip install 'platestream[train]'"
        )


def need_place(output: Path) -> None:
    """Sees, before hours of training, that what comes of it can be written where it is to be.

    Raises:
        OutputError: It cannot.
    """
    try:
        if output.is_dir():
            raise OutputError(f"'{output}' is a folder; name a file")
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output.parent):
            pass
    except OSError as error:
        raise OutputError(f"'{output}' cannot be written: {error.strerror}") from error


def last_checkpoint(logs: Path) -> Path:
    """Where a run that is to go on has left its state.

    Raises:
        DataError: It has left none.
    """
    path = logs / "checkpoints" / "runner.last.pth"
    if not path.is_file():
        raise DataError(f"nothing to resume: '{path}' is not there")
    return path


def column(path: Path) -> list[str]:
    """The column ``file`` of a CSV."""
    return [row["file"] for _, row in tables.whole_rows(path, ["file"])]
