"""``platestream contact-sheet``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.arguments import Seed, need_training
from training.commands.reports import say


def contact_sheet(
    output: Annotated[Path, typer.Argument(help="A PNG or JPEG.")],
    data: Annotated[Path | None, typer.Option(help="Crops; without them synthetic only.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Another reading of the files.")] = None,
    count: Annotated[int, typer.Option(min=1, max=600)] = 96,
    seed: Seed = 0,
) -> None:
    """Shows training samples as the recognizer gets them, augmentation and all."""
    need_training()
    from platestream.vision.recognition_model import LineConfig
    from training import labels as label_files
    from training.contact_sheet import unnormalize, write_sheet
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
    write_sheet(output, [unnormalize(s["image"][0].numpy()) for s in samples], texts, columns=8)
    say(f"{count} samples: {output}")
