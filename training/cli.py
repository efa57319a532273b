"""``platestream train|evaluate|calibrate|export``, labels and contact sheets."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from platestream import options
from platestream.errors import DataError, PlatestreamError
from platestream.vision.backends import Network

_FOLDER = Path(__file__).parent / "data"
_PLAIN = {"add_completion": False, "pretty_exceptions_enable": False, "no_args_is_help": True}

app = typer.Typer(**_PLAIN)  # type: ignore[arg-type]
train = typer.Typer(**_PLAIN, help="Trains a model; it can be resumed.")  # type: ignore[arg-type]
evaluate = typer.Typer(**_PLAIN, help="Judges a model on data it has not seen.")  # type: ignore[arg-type]
export = typer.Typer(**_PLAIN, help="Writes a model as ONNX, to be run faster.")  # type: ignore[arg-type]
app.add_typer(train, name="train")
app.add_typer(evaluate, name="evaluate")
calibration = typer.Typer(**_PLAIN, help="Makes confidences mean what they say.")  # type: ignore[arg-type]
app.add_typer(calibration, name="calibrate")
app.add_typer(export, name="export")

Data = Annotated[Path, typer.Option(help="The folder with the pictures.")]
Seed = Annotated[int, typer.Option()]
Logs = Annotated[Path, typer.Option(help="Checkpoints, TensorBoard and CSV logs.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in --logs.")]
Json = Annotated[
    bool, typer.Option("--json", help="One JSON object on stdout, nothing else there.")
]
Weights = Annotated[Path | None, typer.Option(help="Default: the shipped ones.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:0, …")]
Backend = Annotated[str, typer.Option(help="auto, openvino, onnxruntime or torch.")]
Precision = Annotated[str, typer.Option(help="auto, fp32 or bf16.")]
Latency = Annotated[bool, typer.Option("--latency", help="Time every backend on one core too.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads of the network.")]


@train.command("recognizer")
def _train_recognizer(
    data: Data,
    output: Annotated[Path, typer.Option(help="The weights.")],
    labels: Annotated[
        Path | None, typer.Option(help="Another reading of some files: filename,reading.")
    ] = None,
    corrections: Annotated[
        Path | None, typer.Option(help="Texts in place of the others' (empty: none): file,text.")
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(help="Street photographs (images, labels): their plates, and backgrounds."),
    ] = None,
    mixer: Annotated[
        str, typer.Option(help="What looks along the line: attention, lstm or none.")
    ] = "attention",
    start: Annotated[Path | None, typer.Option(help="Weights to begin from.")] = None,
    logs: Logs = Path("runs/recognizer"),
    epochs: Annotated[int, typer.Option(min=1)] = 36,
    steps: Annotated[int, typer.Option(min=1, help="Batches an epoch.")] = 100,
    synthetic_epochs: Annotated[int, typer.Option(min=0, help="Without real crops.")] = 8,
    learning_rate: Annotated[float, typer.Option()] = 1.5e-3,
    patience: Annotated[int, typer.Option(help="Epochs without a better score.")] = 12,
    threads: Threads = 2,
    device: Device = "cpu",
    seed: Seed = 0,
    resume: Resume = False,
) -> None:
    """Trains the recognizer on plate crops and synthetic plates."""
    _need_training()
    from platestream import plates
    from training import labels as label_files
    from training.recognition.crops import gather, gather_photos
    from training.recognition.grounds import plate_free
    from training.recognition.plate_pictures import corner_detector, load
    from training.recognition.run import Options, train

    crops = gather(
        data,
        label_files.read_csv(labels) if labels else {},
        _column(_FOLDER / "crops_validation.csv"),
        _column(_FOLDER / "negative_validation.csv"),
        corrections=label_files.read_csv(corrections, alphabet=plates.alphabet())
        if corrections
        else None,
        seed=0,
    )
    _say(
        f"{len(crops.train)} crops to train on, {len(crops.valid)} to watch, {crops.held_out} held "
        f"out, {len(crops.unlabelled)} without a label"
    )
    for file, reason in sorted(crops.unlabelled.items()):
        _say(f"  no label: {file}: {reason}")
    grounds = []
    train_crops, valid_crops = crops.train, crops.valid
    if photos:
        apart = _column(_FOLDER / "photos_validation.csv")
        grounds = plate_free(photos, apart, 400, 0)
        more, watched = gather_photos(photos, _FOLDER / "photos_texts.csv", apart)
        _say(f"{len(more)} plates of photographs to train on, {len(watched)} to watch")
        train_crops, valid_crops = train_crops + more, valid_crops + watched
    last = logs / "checkpoints" / "runner.last.pth"
    score = train(
        load(train_crops, corner_detector()),
        load(valid_crops),
        grounds,
        output,
        Options(
            logs=logs,
            seed=seed,
            epochs=epochs,
            steps=steps,
            synthetic_epochs=synthetic_epochs,
            mixer=_mixer(mixer),
            learning_rate=learning_rate,
            patience=patience,
            threads=threads,
            device=device,
            start=start,
            resume=_last(last) if resume else None,
        ),
    )
    _say(f"best score {score:.4f}; weights: {output}")


@train.command("detector")
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
    logs: Logs = Path("runs/detector"),
    epochs: Annotated[int, typer.Option(min=1)] = 60,
    steps: Annotated[int, typer.Option(min=1, help="Batches an epoch.")] = 50,
    learning_rate: Annotated[float, typer.Option()] = 2e-3,
    threads: Threads = 2,
    device: Device = "cpu",
    precision: Annotated[str, typer.Option(help="bf16 or fp32, on a CPU.")] = "bf16",
    seed: Seed = 0,
    resume: Resume = False,
) -> None:
    """Trains the detector on street photographs and plates put into them."""
    _need_training()
    from training.detection.material import gather
    from training.detection.run import Options, train

    crops_apart = [
        file
        for name in ("crops_validation", "negative_validation", "negative_exceptions")
        for file in _column(_FOLDER / f"{name}.csv")
    ]
    gathered = gather(
        data,
        _column(_FOLDER / "photos_validation.csv"),
        corrections=corrections,
        corners=corners,
        crops=crops,
        crop_corners=crop_corners,
        crops_apart=crops_apart,
    )
    material = gathered.material
    _say(
        f"{len(material.photos)} photographs to train on, {len(gathered.watched)} to watch, "
        f"{len(material.crops)} close-ups, {len(material.negatives)} crops without a plate"
    )
    last = logs / "checkpoints" / "runner.last.pth"
    score = train(
        material,
        gathered.watched,
        output,
        Options(
            logs=logs,
            seed=seed,
            epochs=epochs,
            steps=steps,
            learning_rate=learning_rate,
            threads=threads,
            device=device,
            precision=precision,
            resume=_last(last) if resume else None,
        ),
    )
    _say(f"best F1 {score:.4f}; weights: {output}")


@evaluate.command("recognizer")
def _evaluate_recognizer(
    data: Data,
    labels: Annotated[
        Path | None, typer.Option(help="Checked texts: file,text. Default: the file names.")
    ] = None,
    negatives: Annotated[
        Path | None, typer.Option(help="Which of Negative to take: file. Default: all.")
    ] = None,
    weights: Weights = None,
    threshold: Annotated[float | None, typer.Option(min=0, max=1)] = None,
    backend: Backend = "auto",
    device: Device = "cpu",
    precision: Precision = "auto",
    latency: Latency = False,
    as_json: Json = False,
) -> None:
    """Judges the recognizer on plate crops."""
    from platestream.vision.recognizer import Recognizer
    from training.recognition.evaluation import evaluate

    recognizer = Recognizer.load(
        weights, backend=backend, device=device, precision=precision, threshold=threshold
    )
    result = _named(recognizer.network) | evaluate(recognizer, data, labels, negatives)
    if latency:
        from training.latency import recognizer_latency

        result["latency"] = recognizer_latency(weights, device)
    _report(result, as_json)


@evaluate.command("detector")
def _evaluate_detector(
    data: Data,
    labels: Annotated[
        Path | None,
        typer.Option(help="Checked boxes: file,x1,y1,x2,y2,ignore. Default: data/labels."),
    ] = None,
    corrections: Annotated[
        Path | None, typer.Option(help="What the boxes have wrong: file,x1,y1,x2,y2,action.")
    ] = None,
    empty: Annotated[
        Path | None, typer.Option(help="A folder of pictures without a plate.")
    ] = None,
    negatives: Annotated[
        Path | None, typer.Option(help="Which of --empty to take: file. Default: all.")
    ] = None,
    weights: Weights = None,
    threshold: Annotated[float | None, typer.Option(min=0, max=1)] = None,
    backend: Backend = "auto",
    device: Device = "cpu",
    precision: Precision = "auto",
    latency: Latency = False,
    as_json: Json = False,
) -> None:
    """Judges the detector on street photographs."""
    from platestream.vision.detector import Detector
    from training.detection.evaluation import evaluate

    detector = Detector.load(
        weights, backend=backend, device=device, precision=precision, score_threshold=threshold
    )
    result = _named(detector.network) | evaluate(
        detector, data, labels, corrections, empty, negatives
    )
    if latency:
        from training.latency import detector_latency

        result["latency"] = detector_latency(weights, device)
    _report(result, as_json)


def _named(network: Network) -> dict[str, Any]:
    return {"backend": network.backend, "computed_in": network.run.precision}


Trained = Annotated[Path, typer.Option("--weights", help="A safetensors file.")]
Onnx = Annotated[Path, typer.Option(help="An ONNX file.")]


@export.command("recognizer")
def _export_recognizer(weights: Trained, output: Onnx) -> None:
    """Writes a recognizer as ONNX."""
    _export(weights, "recognizer", output)


@export.command("detector")
def _export_detector(weights: Trained, output: Onnx) -> None:
    """Writes a detector as ONNX."""
    _export(weights, "detector", output)


def _export(weights: Path, task: str, output: Path) -> None:
    missing = [name for name in ("torch", "onnx") if find_spec(name) is None]
    if missing:
        raise PlatestreamError(
            f"export needs {' and '.join(missing)}: pip install 'platestream[train]'"
        )
    from training.export import export

    export(weights, task, output)
    _say(f"{output.stat().st_size / 2**20:.1f} MiB: {output}")


@calibration.command("recognizer")
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
    found = calibrate(*judged(read_pairs(recognizer, folder, true_texts(folder, labels))))
    write_temperature(source, output, found.temperature, threshold)
    if diagram is not None:
        draw_diagram(
            diagram,
            [
                (f"as read: error {found.before:.3f}", found.bins_before),
                (f"calibrated: error {found.after:.3f}", found.bins_after),
            ],
        )
    _report(
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
    _say(f"weights: {output}")


@app.command("clean-labels")
def _clean_labels(
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
    _need_training()
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
    held_out = set(_column(_FOLDER / "crops_validation.csv"))
    groups = [g for g in grouped(folder, list_pictures(folder), second) if not held_out & set(g)]
    more: list[Crop] = []
    if photos:
        apart = _column(_FOLDER / "photos_validation.csv")
        more = gather_photos(photos, _FOLDER / "photos_texts.csv", apart)[0]
    detector = corner_detector()

    def fold(crops: Sequence[Crop], number: int) -> Recognizer:
        weights = logs / f"fold-{number}.safetensors"
        pictures = load([*crops, *more], detector)
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
    _say(f"{len(verdicts)} files, {suspicious} suspicious: {done}")


@app.command("contact-sheet")
def _contact_sheet(
    output: Annotated[Path, typer.Argument(help="A PNG or JPEG.")],
    data: Annotated[Path | None, typer.Option(help="Crops; without them synthetic only.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Another reading of the files.")] = None,
    count: Annotated[int, typer.Option(min=1, max=600)] = 96,
    seed: Seed = 0,
) -> None:
    """Shows training samples as the recognizer gets them, augmentation and all."""
    _need_training()
    from platestream.vision.recognition_model import LineConfig
    from training import labels as label_files
    from training.contact_sheet import unnormalize, write_sheet
    from training.recognition.crops import gather
    from training.recognition.dataset import ALPHABET, SYNTHETIC_ONLY, TrainingCrops
    from training.recognition.metrics import target_texts
    from training.recognition.plate_pictures import corner_detector, load

    second = label_files.read_csv(labels) if labels else {}
    crops = gather(data, second, [], []).train if data else []
    config = LineConfig(classes=len(ALPHABET) + 1)
    dataset = TrainingCrops(load(crops, corner_detector()), [], config, length=count, seed=seed)
    if not crops:
        dataset.mixture = SYNTHETIC_ONLY
    samples = [dataset[index] for index in range(count)]
    texts = [target_texts(s["target"], s["target"].new_tensor([len(s["target"])]))[0]
             for s in samples]  # fmt: skip
    write_sheet(output, [unnormalize(s["image"][0].numpy()) for s in samples], texts, columns=8)
    _say(f"{count} samples: {output}")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    return options.invoke_app(app, "platestream", argv)


def _need_training() -> None:
    missing = [name for name in ("torch", "catalyst", "albumentations") if find_spec(name) is None]
    if missing:
        raise PlatestreamError(
            f"training needs {' and '.join(missing)}: pip install 'platestream[train]'"
        )


def _mixer(name: str) -> Any:
    if name not in ("attention", "lstm", "none"):
        raise DataError(f"no mixer '{name}'; there are attention, lstm and none")
    return name


def _last(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"nothing to resume: '{path}' is not there")
    return path


def _column(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        return [row["file"] for row in csv.DictReader(file)]


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _report(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
        return
    for key, value in result.items():
        if isinstance(value, list):
            print(f"{key}:")
            for row in value:
                print("  " + "  ".join(f"{k}={_said(v)}" for k, v in row.items()))
        else:
            print(f"{key}: {_said(value)}")


def _said(value: Any) -> str:
    """A value as a person reads it; a share with its interval."""
    if not (isinstance(value, dict) and "share" in value):
        return str(value)
    low, high = value["interval_95"]
    share = "none" if value["share"] is None else f"{100 * value['share']:.2f}%"
    return f"{share} ({value['hits']} of {value['of']}; 95% {low:.4f}–{high:.4f})"
