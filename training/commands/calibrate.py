"""``platestream calibrate recognizer``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.arguments import PLAIN, Data, Json, Weights
from training.commands.reports import report, say

app = typer.Typer(**PLAIN, help="Makes confidences mean what they say.")  # type: ignore[arg-type]


@app.command("recognizer")
def _calibrate_recognizer(
    data: Data,
    labels: Annotated[Path, typer.Option(help="Checked texts: file,text; not trained on.")],
    output: Annotated[Path, typer.Option(help="The weights, with what was fitted in them.")],
    weights: Weights = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Becomes their default.")
    ] = None,
    diagram: Annotated[
        Path | None, typer.Option(help="A PNG: how often what is so sure is right.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fits the temperature of the recognizer's confidences to checked crops."""
    from platestream.vision.model_file import default_path
    from platestream.vision.recognizer import Recognizer
    from training.recognition.calibration import calibrate, write_temperature
    from training.recognition.crops import plate_folder
    from training.recognition.evaluation import judged, read_pairs, true_texts
    from training.recognition.reliability import draw_diagram

    source = weights or default_path("recognizer", ".safetensors")
    folder = plate_folder(data)
    recognizer = Recognizer.load(source, temperature=1.0)
    texts = true_texts(folder, labels, recognizer.formats)
    pairs, unreadable = read_pairs(recognizer, folder, texts)
    for error in unreadable:
        say(f"  left out: {error}")
    found = calibrate(*judged(pairs))
    write_temperature(source, output, found.temperature, threshold)
    if diagram is not None:
        draw_diagram(
            diagram,
            [
                (f"as read: error {found.before:.3f}", found.bins_before),
                (f"calibrated: error {found.after:.3f}", found.bins_after),
            ],
        )
    report(
        {
            "temperature": found.temperature,
            "readings": found.readings,
            "mistakes": found.mistakes,
            "calibration_error_before": round(found.before, 4),
            "calibration_error_after": round(found.after, 4),
            "bins_before": found.bins_before,
            "bins_after": found.bins_after,
        },
        as_json,
    )
    say(f"weights: {output}")
