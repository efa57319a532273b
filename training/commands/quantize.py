"""``platestream quantize recognizer|detector``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from platestream.errors import DataError, PlatestreamError
from training.commands.arguments import CHECKED, PLAIN, Data, column
from training.commands.reports import say

app = typer.Typer(  # for CPUs that do not compute in bf16
    **PLAIN,  # type: ignore[arg-type]
    help="Writes a model as ONNX in int8.",
)

Trained = Annotated[Path, typer.Option("--weights", help="A safetensors file.")]
Onnx = Annotated[Path, typer.Option(help="An ONNX file; shipped ones end in .int8.onnx.")]
Count = Annotated[int, typer.Option(min=1, help="So many of the pictures.")]


@app.command("recognizer")
def _quantize_recognizer(data: Data, weights: Trained, output: Onnx, count: Count = 160) -> None:
    """Writes a recognizer in int8; ranges come from plate crops."""
    from training.recognition.crops import plate_folder

    _quantize("recognizer", plate_folder(data), "crops_validation.csv", weights, output, count)


@app.command("detector")
def _quantize_detector(data: Data, weights: Trained, output: Onnx, count: Count = 60) -> None:
    """Writes a detector in int8; ranges come from whole pictures."""
    images = data / "images"
    folder = images if images.is_dir() else data
    _quantize("detector", folder, "photos_validation_boxes.csv", weights, output, count)


def _quantize(
    task: str, folder: Path, judged: str, weights: Path, output: Path, count: int
) -> None:
    missing = [name for name in ("torch", "onnx", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise PlatestreamError(
            f"quantization needs {' and '.join(missing)}: pip install 'platestream[train]'"
        )
    from training.quantization import quantize
    from training.recognition.crops import list_pictures

    apart = set(column(CHECKED / judged))
    files = [file for file in list_pictures(folder) if file not in apart]
    chosen = [files[i] for i in np.linspace(0, len(files) - 1, min(count, len(files)), dtype=int)]
    read = (cv2.imread(str(folder / file)) for file in chosen)
    pictures = [picture.astype(np.uint8) for picture in read if picture is not None]
    if not pictures:
        raise DataError(f"'{folder}' holds no picture to go by")
    quantize(weights, task, pictures, output)
    say(f"ranges from {len(pictures)} pictures; {output.stat().st_size / 2**20:.1f} MiB: {output}")
