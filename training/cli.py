"""``platestream train|evaluate|export recognizer|detector``, contact sheets, confirmed labels."""

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
    confirmed: Annotated[
        Path | None, typer.Option(help="Texts that take the place of all others: file,text.")
    ] = None,
    photos: Annotated[
        Path | None, typer.Option(help="Street photographs (images, labels) for backgrounds.")
    ] = None,
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
    from training import labels as label_files
    from training.recognition.crops import gather
    from training.recognition.grounds import plate_free
    from training.recognition.run import Options, train

    crops = gather(
        data,
        label_files.read_csv(labels) if labels else {},
        _column(_FOLDER / "crops_validation.csv"),
        _column(_FOLDER / "negative_validation.csv"),
        confirmed=label_files.read_csv(confirmed) if confirmed else None,
        seed=0,
    )
    _say(
        f"{len(crops.train)} crops to train on, {len(crops.valid)} to watch, {crops.held_out} held "
        f"out, {len(crops.unlabelled)} without a label"
    )
    for file, reason in sorted(crops.unlabelled.items()) if confirmed is None else ():
        _say(f"  no label: {file}: {reason}")
    grounds = (
        plate_free(photos, _column(_FOLDER / "photos_validation.csv"), 400, 0) if photos else []
    )
    last = logs / "checkpoints" / "runner.last.pth"
    score = train(
        crops.train,
        crops.valid,
        grounds,
        output,
        Options(
            logs=logs,
            seed=seed,
            epochs=epochs,
            steps=steps,
            synthetic_epochs=synthetic_epochs,
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


@app.command("confirm-labels")
def _confirm_labels(
    data: Data,
    labels: Annotated[Path, typer.Option(help="Another reading of the files.")],
    weights: Annotated[Path, typer.Option(help="A first recognizer.")],
    output: Annotated[Path, typer.Option(help="A CSV: file,text.")],
) -> None:
    """Lets a first model decide between file names and another reading."""
    from platestream.vision.recognizer import Recognizer
    from training import labels as label_files
    from training.recognition.confirmation import confirm
    from training.recognition.crops import list_pictures, plate_folder

    folder = plate_folder(data)
    texts = confirm(
        Recognizer.load(weights), folder, list_pictures(folder), label_files.read_csv(labels)
    )
    with output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "text"])
        writer.writerows((name, text) for name, text in sorted(texts.items()) if text)
    _say(f"{sum(map(bool, texts.values()))} of {len(texts)} files have a confirmed text")


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
    from platestream import plates
    from platestream.vision.recognition_model import CrnnConfig
    from training import labels as label_files
    from training.contact_sheet import unnormalize, write_sheet
    from training.recognition.crops import gather
    from training.recognition.dataset import SYNTHETIC_ONLY, TrainingCrops
    from training.recognition.metrics import target_texts

    second = label_files.read_csv(labels) if labels else {}
    crops = gather(data, second, [], []).train if data else []
    config = CrnnConfig(classes=len(plates.alphabet()) + 1)
    dataset = TrainingCrops(crops, [], config, length=count, seed=seed)
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
        if isinstance(value, dict) and "share" in value:
            low, high = value["interval_95"]
            share = "none" if value["share"] is None else f"{100 * value['share']:.2f}%"
            print(f"{key}: {share} ({value['hits']} of {value['of']}; 95% {low:.4f}–{high:.4f})")
        elif key == "mistakes":
            for mistake in value:
                print("  " + "  ".join(f"{k}={v}" for k, v in mistake.items()))
        elif key == "latency":
            print(f"{key}, ms: {', '.join(value[0])}" if value else f"{key}: nothing to measure")
            for row in value:
                print("  " + "  ".join(str(cell) for cell in row.values()))
        else:
            print(f"{key}: {value}")
