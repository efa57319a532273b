"""``platestream contact-sheet``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from platestream.errors import DataError
from training.commands.arguments import Seed, Weights, need_training
from training.commands.reports import say

if TYPE_CHECKING:
    from training.contact_sheet import Image


def contact_sheet(
    output: Annotated[Path, typer.Argument(help="A PNG or JPEG.")],
    data: Annotated[Path | None, typer.Option(help="Crops; without them synthetic only.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Another reading of the files.")] = None,
    failures: Annotated[
        str | None,
        typer.Option(
            help="Instead, drawn pictures that the recognizer or the detector gets wrong."
        ),
    ] = None,
    weights: Weights = None,
    count: Annotated[int, typer.Option(min=1, max=600)] = 96,
    columns: Annotated[int, typer.Option(min=1, max=30)] = 8,
    seed: Seed = 0,
) -> None:
    """Shows training samples as the recognizer gets them, or what a model gets wrong."""
    from training.contact_sheet import write_sheet

    if failures is not None:
        pictures, captions, said = _failures(failures, weights, count, seed)
    elif weights is not None:
        raise DataError("--weights goes with --failures")
    else:
        pictures, captions = _samples(data, labels, count, seed)
        said = f"{count} samples"
    write_sheet(output, pictures, captions, columns=columns)
    say(f"{said}: {output}")


def _failures(
    task: str, weights: Path | None, count: int, seed: int
) -> tuple[list[Image], list[str], str]:
    """Pictures, captions, and what is to be said of them."""
    from platestream.vision.detector import Detector
    from platestream.vision.recognizer import Recognizer
    from training.failures import misread, overlooked

    if task == "recognizer":
        found = misread(Recognizer.load(weights), count, seed)
    elif task == "detector":
        found = overlooked(Detector.load(weights), count, seed)
    else:
        raise DataError(f"no failures of '{task}'; there are those of recognizer and detector")
    if not found.pictures:
        raise DataError(f"the {task} got all {found.drawn} plates right that were drawn")
    said = f"{len(found.pictures)} failures, {found.wrong} of {found.drawn} drawn plates wrong"
    return found.pictures, found.captions, said


def _samples(
    data: Path | None, labels: Path | None, count: int, seed: int
) -> tuple[list[Image], list[str]]:
    need_training()
    from platestream.vision.recognition_model import LineConfig
    from training import labels as label_files
    from training.contact_sheet import unnormalize
    from training.recognition.crops import gather
    from training.recognition.dataset import SYNTHETIC_ONLY, TrainingCrops
    from training.recognition.metrics import target_texts
    from training.recognition.plate_pictures import corner_detector, load
    from training.recognition.start import ALPHABET

    second = label_files.read_csv(labels) if labels else {}
    crops = gather(data, second, [], []).train if data else []
    config = LineConfig(classes=len(ALPHABET) + 1)
    dataset = TrainingCrops(
        load(crops, corner_detector()), [], config, ALPHABET, length=count, seed=seed
    )
    if not crops:
        dataset.mixture = SYNTHETIC_ONLY
    samples = [dataset[index] for index in range(count)]
    texts = [target_texts(s["target"], s["target"].new_tensor([len(s["target"])]), ALPHABET)[0]
             for s in samples]  # fmt: skip
    return [unnormalize(s["image"][0].numpy()) for s in samples], texts
