"""The command line of training: ``platestream train|evaluate|calibrate|export`` and more."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from platestream import options
from training.commands import average, calibrate, evaluate, export, quantize, train
from training.commands.arguments import PLAIN
from training.commands.clean_labels import clean_labels
from training.commands.contact_sheet import contact_sheet
from training.commands.draw_plates import draw_plates
from training.commands.fit_corners import fit_corners

app = typer.Typer(**PLAIN)  # type: ignore[arg-type]
app.add_typer(train.app, name="train")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(average.app, name="average")
app.add_typer(calibrate.app, name="calibrate")
app.add_typer(export.app, name="export")
app.add_typer(quantize.app, name="quantize")
app.command("clean-labels")(clean_labels)
app.command("contact-sheet")(contact_sheet)
app.command("draw-plates")(draw_plates)
app.command("fit-corners")(fit_corners)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    return options.invoke_app(app, "platestream", argv)
