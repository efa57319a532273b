"""``platestream draw-plates``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from platestream import plates
from platestream.errors import OutputError
from training.commands.arguments import Seed
from training.commands.reports import say


def draw_plates(
    output: Annotated[Path, typer.Argument(help="A folder: pictures, and labels.csv.")],
    formats: Annotated[
        Path | None,
        typer.Option(help="A country's plates (TOML); default: Russian ones of all types."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=100_000)] = 200,
    seed: Seed = 0,
) -> None:
    """Draws plate crops, photographed badly and well, with their texts in labels.csv."""
    from training.drawn_crops import draw

    forms = plates.load(formats).formats if formats else None
    if (output / "labels.csv").exists():
        raise OutputError(f"'{output}' has a labels.csv already; name a new folder")
    draw(output, forms, count, seed)
    say(f"{count} crops: {output}")
