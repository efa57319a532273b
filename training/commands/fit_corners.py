"""``platestream fit-corners``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.arguments import Weights
from training.commands.reports import say


def fit_corners(
    output: Annotated[Path, typer.Option(help="The corners, a CSV: file,x1,y1,…,y4.")],
    photos: Annotated[
        Path | None, typer.Option(help="Street photographs with boxes (images, labels: YOLO text).")
    ] = None,
    corrections: Annotated[
        Path | None, typer.Option(help="What the boxes have wrong: file,x1,y1,x2,y2,action.")
    ] = None,
    crops: Annotated[Path | None, typer.Option(help="Or plate crops: CropNumbers.")] = None,
    weights: Weights = None,
) -> None:
    """Finds the corners of plates of which a box or a crop is known, to train a detector on.

    A detector looks at each, enlarged. What it does not see well is left out.
    """
    from platestream.vision.detector import Detector
    from training.detection.fitting import CLOSE_UP_SIDE, fit_crops, fit_photos, write_corners

    if (photos is None) == (crops is None):
        raise typer.BadParameter("name either --photos or --crops")
    detector = Detector.load(weights, long_side=CLOSE_UP_SIDE)
    if photos is not None:
        fitted, plates = fit_photos(detector, photos, corrections)
    else:
        assert crops is not None
        fitted, plates = fit_crops(detector, crops)
    write_corners(output, fitted)
    say(f"corners of {sum(map(len, fitted.values()))} of {plates} plates: {output}")
