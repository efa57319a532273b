"""``platestream clean-labels``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from training.commands.arguments import (
    CHECKED,
    Data,
    Logs,
    Seed,
    Threads,
    column,
    need_place,
    need_training,
)
from training.commands.reports import say


def clean_labels(
    data: Data,
    output: Annotated[Path, typer.Option(help="The corrections, a CSV: file,text,reason.")],
    start: Annotated[Path, typer.Option(help="Weights that have seen synthetic plates only.")],
    labels: Annotated[
        Path | None, typer.Option(help="Another reading of some files: filename,reading.")
    ] = None,
    reviewed: Annotated[
        Path | None,
        typer.Option(help="What a person read: file,text,readable; it overrules everything."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="An HTML page, the most suspicious labels first.")
    ] = None,
    photos: Annotated[
        Path | None, typer.Option(help="Street photographs to train on, too.")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, max=10)] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Batches of each fold's training.")] = 300,
    logs: Logs = Path("runs/clean-labels"),
    threads: Threads = 2,
    seed: Seed = 0,
) -> None:
    """Finds wrong labels with models that never saw the crops that they judge."""
    need_training()
    need_place(output)
    if report:
        need_place(report)
    from collections import Counter

    from platestream import plates
    from platestream.vision.recognizer import Recognizer
    from training import labels as label_files
    from training.recognition.cleaning import judge, write_corrections
    from training.recognition.cleaning_report import write_report
    from training.recognition.crops import (
        Crop,
        gather_photos,
        grouped,
        list_pictures,
        plate_folder,
    )
    from training.recognition.plate_pictures import corner_detector, load
    from training.recognition.run import Options, train

    folder = plate_folder(data)
    second = label_files.read_csv(labels) if labels else {}
    held_out = set(column(CHECKED / "crops_validation.csv"))
    groups = [g for g in grouped(folder, list_pictures(folder), second) if not held_out & set(g)]
    more: list[Crop] = []
    if photos:
        apart = column(CHECKED / "photos_validation.csv")
        more = gather_photos(photos, CHECKED / "photos_texts.csv", apart)[0]
    detector = corner_detector()

    def fold(crops: Sequence[Crop], number: int) -> Recognizer:
        weights = logs / f"fold-{number}.safetensors"
        pictures = load([*crops, *more], detector, lambda why: say(f"  left out: {why}"))
        options = Options(
            logs=logs / f"fold-{number}", seed=seed + number, epochs=1, steps=steps,
            synthetic_epochs=0, learning_rate=1e-3, threads=threads, start=start,
        )  # fmt: skip
        train(pictures, pictures[:64], [], weights, options)
        return Recognizer.load(weights, backend="torch")

    verdicts = judge(
        folder,
        groups,
        second,
        label_files.read_csv(reviewed, alphabet=plates.alphabet(), folder=folder, unreadable=True)
        if reviewed
        else {},
        fold,
        folds=folds,
        seed=seed,
    )
    write_corrections(output, verdicts)
    if report:
        write_report(report, folder, verdicts)
    counts = Counter(v.action for v in verdicts)
    suspicious = sum(bool(v.reasons) for v in verdicts)
    done = ", ".join(f"{counts[a]} {a}" for a in ("kept", "changed", "added", "dropped"))
    say(f"{len(verdicts)} files, {suspicious} suspicious: {done}")
