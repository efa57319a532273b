"""``platestream train recognizer|detector``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from platestream.errors import DataError
from platestream.plates import PlateFormats
from training.commands.arguments import (
    CHECKED,
    PLAIN,
    Data,
    Device,
    LearningRate,
    Logs,
    Patience,
    Precision,
    Resume,
    Seed,
    Threads,
    Workers,
    column,
    last_checkpoint,
    need_place,
    need_training,
)
from training.commands.reports import say

if TYPE_CHECKING:
    from platestream.vision.detection_model import CentresConfig
    from training.recognition.crops import CropData

_MOST = 1024  # channels or blocks

Teacher = Annotated[
    Path | None, typer.Option(help="Weights of a larger network, to learn from as well.")
]

app = typer.Typer(**PLAIN, help="Trains a model; it can be resumed.")  # type: ignore[arg-type]


@app.command("recognizer")
def _train_recognizer(
    data: Data,
    output: Annotated[Path, typer.Option(help="The weights.")],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="All texts: file,text; only these files are taken. Or another reading of some "
            "files beside their names: filename,reading. Default: the file names."
        ),
    ] = None,
    formats: Annotated[
        Path | None,
        typer.Option(help="Another country's plates (TOML), to be read beside the known ones."),
    ] = None,
    corrections: Annotated[
        Path | None, typer.Option(help="Texts in place of the others' (empty: none): file,text.")
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(help="Street photographs (images, labels): their plates, and backgrounds."),
    ] = None,
    mixer: Annotated[
        str | None,
        typer.Option(
            help="What looks along the line: attention, lstm or none. Default: what --start or "
            "--teacher has, else attention."
        ),
    ] = None,
    new_mixer: Annotated[
        bool, typer.Option("--new-mixer", help="It begins by chance, as another than --teacher's.")
    ] = False,
    start: Annotated[Path | None, typer.Option(help="Weights to begin from.")] = None,
    teacher: Teacher = None,
    channels: Annotated[
        str | None,
        typer.Option(
            help="Four numbers: 32,64,96,160 by default; with --teacher as many as it has, or "
            "fewer, as 16,32,64,96."
        ),
    ] = None,
    blocks: Annotated[
        str | None, typer.Option(help="1,1,1 by default; with --teacher as it has, or fewer.")
    ] = None,
    layers: Annotated[
        int | None, typer.Option(min=1, help="2 by default; with --teacher as it has, or fewer.")
    ] = None,
    logs: Logs = Path("runs/recognizer"),
    epochs: Annotated[int, typer.Option(min=1)] = 36,
    steps: Annotated[int, typer.Option(min=1, help="Batches an epoch.")] = 100,
    synthetic_epochs: Annotated[int, typer.Option(min=0, help="Without real crops.")] = 8,
    synthetic_share: Annotated[
        float, typer.Option(min=0, max=1, help="Of synthetic plates beside real crops.")
    ] = 0.3,
    learning_rate: LearningRate = 1.5e-3,
    average_decay: Annotated[
        float,
        typer.Option(min=0, max=0.9999, help="Of the moving average of weights that is kept."),
    ] = 0.998,
    patience: Patience = 12,
    workers: Workers = 1,
    threads: Threads = 2,
    device: Device = "cpu",
    precision: Precision = "auto",
    seed: Seed = 0,
    resume: Resume = False,
) -> None:
    """Trains the recognizer on plate crops and synthetic plates."""
    need_training()
    need_place(output)
    from platestream import plates
    from training.recognition.crops import gather_photos
    from training.recognition.grounds import plate_free
    from training.recognition.plate_pictures import corner_detector, load
    from training.recognition.run import Options, train

    country = plates.load(formats) if formats else None
    crops = _gather(data, labels, corrections, start, country)
    say(
        f"{len(crops.train)} crops to train on, {len(crops.valid)} to watch, {crops.held_out} held "
        f"out, {len(crops.unlabelled)} without a label"
    )
    for file, reason in sorted(crops.unlabelled.items()):
        say(f"  no label: {file}: {reason}")
    grounds = []
    train_crops, valid_crops = crops.train, crops.valid
    if photos:
        apart = column(CHECKED / "photos_validation.csv")
        grounds = plate_free(photos, apart, 400, 0)
        more, watched = gather_photos(photos, CHECKED / "photos_texts.csv", apart)
        say(f"{len(more)} plates of photographs to train on, {len(watched)} to watch")
        train_crops, valid_crops = train_crops + more, valid_crops + watched
    score = train(
        load(train_crops, corner_detector(), _say_left_out),
        load(valid_crops, None, _say_left_out),
        grounds,
        output,
        Options(
            logs=logs,
            seed=seed,
            epochs=epochs,
            steps=steps,
            synthetic_epochs=synthetic_epochs,
            synthetic_share=synthetic_share,
            mixer=_mixer(mixer),
            new_mixer=new_mixer,
            teacher=teacher,
            channels=_numbers("--channels", channels, 4),
            blocks=_numbers("--blocks", blocks, 3),
            layers=layers,
            learning_rate=learning_rate,
            average_decay=average_decay,
            patience=patience,
            workers=workers,
            threads=threads,
            device=device,
            precision=precision,
            start=start,
            resume=last_checkpoint(logs) if resume else None,
        ),
        country,
    )
    say(f"best score {score:.4f}; weights: {output}")


def _say_left_out(why: str) -> None:
    say(f"  left out: {why}")


def _gather(
    data: Path,
    labels: Path | None,
    corrections: Path | None,
    start: Path | None,
    country: PlateFormats | None,
) -> CropData:
    """The crops whose texts are given, those of a country, or of a folder like CropNumbers."""
    from platestream import plates
    from training import labels as label_files
    from training.recognition.crops import gather, gather_labelled
    from training.recognition.start import known_formats

    if country is not None or (labels is not None and label_files.holds_texts(labels)):
        if corrections is not None:
            raise DataError(
                "--corrections does not go with --formats, nor with texts in --labels: say there "
                "what is true"
            )
        known = known_formats(start)
        return gather_labelled(data, labels, known.joined(country) if country else known)
    return gather(
        data,
        label_files.read_csv(labels) if labels else {},
        column(CHECKED / "crops_validation.csv"),
        column(CHECKED / "negative_validation.csv"),
        corrections=label_files.read_csv(corrections, alphabet=plates.alphabet())
        if corrections
        else None,
        seed=0,
    )


@app.command("detector")
def _train_detector(
    data: Data,
    output: Annotated[Path, typer.Option(help="The weights.")],
    corrections: Annotated[
        Path | None, typer.Option(help="What the boxes have wrong: file,x1,y1,x2,y2,action.")
    ] = None,
    corners: Annotated[
        Path | None, typer.Option(help="Corners of the photographs' plates: file,x1,y1,…,y4.")
    ] = None,
    crops: Annotated[
        Path | None, typer.Option(help="CropNumbers: close-ups of plates (NumBase) and of none.")
    ] = None,
    crop_corners: Annotated[
        Path | None, typer.Option(help="Corners of the crops' plates: file,x1,y1,…,y4.")
    ] = None,
    start: Annotated[Path | None, typer.Option(help="Weights to begin from.")] = None,
    teacher: Teacher = None,
    channels: Annotated[
        str | None,
        typer.Option(help="At strides 2 to 64, six numbers: 16,32,64,96,128,128 by default."),
    ] = None,
    blocks: Annotated[
        str | None, typer.Option(help="At strides 8 to 64, four numbers: 1,2,2,1 by default.")
    ] = None,
    head: Annotated[
        int | None, typer.Option(min=1, help="Channels of the merged strides; default 64.")
    ] = None,
    logs: Logs = Path("runs/detector"),
    epochs: Annotated[int, typer.Option(min=1)] = 60,
    steps: Annotated[int, typer.Option(min=1, help="Batches an epoch.")] = 50,
    batch: Annotated[int, typer.Option(min=1, help="Pictures a batch.")] = 16,
    learning_rate: LearningRate = 2e-3,
    workers: Workers = 1,
    threads: Threads = 2,
    device: Device = "cpu",
    precision: Precision = "auto",
    seed: Seed = 0,
    resume: Resume = False,
) -> None:
    """Trains the detector on street photographs and plates put into them."""
    need_training()
    need_place(output)
    from training.detection.material import gather
    from training.detection.run import Options, train

    crops_apart = [
        file
        for name in ("crops_validation", "negative_validation", "negative_exceptions")
        for file in column(CHECKED / f"{name}.csv")
    ]
    gathered = gather(
        data,
        column(CHECKED / "photos_validation.csv"),
        corrections=corrections,
        corners=corners,
        crops=crops,
        crop_corners=crop_corners,
        crops_apart=crops_apart,
    )
    material = gathered.material
    say(
        f"{len(material.photos)} photographs to train on, {len(gathered.watched)} to watch, "
        f"{len(material.crops)} close-ups, {len(material.negatives)} crops without a plate"
    )
    score = train(
        material,
        gathered.watched,
        output,
        Options(
            logs=logs,
            seed=seed,
            epochs=epochs,
            steps=steps,
            batch=batch,
            learning_rate=learning_rate,
            workers=workers,
            threads=threads,
            device=device,
            precision=precision,
            start=start,
            teacher=teacher,
            shape=_shape(channels, blocks, head),
            resume=last_checkpoint(logs) if resume else None,
        ),
    )
    say(f"best F1 {score:.4f}; weights: {output}")


def _shape(channels: str | None, blocks: str | None, head: int | None) -> CentresConfig | None:
    from platestream.vision.detection_model import CentresConfig

    if channels is None and blocks is None and head is None:
        return None
    usual = CentresConfig()
    return CentresConfig(
        _numbers("--channels", channels, len(usual.channels)) or usual.channels,
        _numbers("--blocks", blocks, len(usual.blocks)) or usual.blocks,
        head or usual.head,
    )


def _numbers(option: str, text: str | None, count: int) -> tuple[int, ...] | None:
    if text is None:
        return None
    numbers = tuple(int(part) if part.strip().isdecimal() else 0 for part in text.split(","))
    if len(numbers) != count or not all(0 < number <= _MOST for number in numbers):
        raise DataError(
            f"{option} takes {count} numbers from 1 to {_MOST}, with commas, not '{text}'"
        )
    return numbers


def _mixer(name: str | None) -> Any:
    if name not in (None, "attention", "lstm", "none"):
        raise DataError(f"no mixer '{name}'; there are attention, lstm and none")
    return name
