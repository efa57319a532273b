"""``platestream evaluate recognizer|detector|reader|painted``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from platestream import options
from platestream.errors import DataError
from platestream.vision.backends import Network
from training.commands.arguments import (
    PLAIN,
    Backend,
    Data,
    Device,
    Json,
    Latency,
    Precision,
    Seed,
    Weights,
)
from training.commands.reports import report

app = typer.Typer(**PLAIN, help="Judges a model on data it has not seen.")  # type: ignore[arg-type]


@app.command("recognizer")
def _evaluate_recognizer(
    data: Data,
    labels: Annotated[
        Path | None, typer.Option(help="Checked texts: file,text. Default: the file names.")
    ] = None,
    negatives: Annotated[
        Path | None, typer.Option(help="Which of Negative to take: file. Default: all.")
    ] = None,
    photos: Annotated[
        Path | None, typer.Option(help="Street photographs (images): their plates are judged, too.")
    ] = None,
    photo_texts: Annotated[
        Path | None,
        typer.Option(help="With --photos: file,x1,y1,x2,y2,text,readable,lines."),
    ] = None,
    formats: Annotated[
        Path | None,
        typer.Option(help="Plates (TOML) that there are beside those the weights know."),
    ] = None,
    weights: Weights = None,
    threshold: Annotated[float | None, typer.Option(min=0, max=1)] = None,
    backend: Backend = "auto",
    device: Device = "cpu",
    precision: Precision = "auto",
    single_look: Annotated[
        bool, typer.Option("--single-look", help="The recognizer alone, without a detector.")
    ] = False,
    spoiled: Annotated[
        bool,
        typer.Option("--spoiled", help="The plates of --photos turned, smeared, dark, …, as well."),
    ] = False,
    latency: Latency = False,
    as_json: Json = False,
) -> None:
    """Judges the recognizer on plate crops, as ``platestream recognize`` reads them."""
    from platestream import plates
    from platestream.vision.crop_reader import CropReader
    from platestream.vision.recognizer import Recognizer
    from training.recognition.evaluation import (
        evaluate,
        evaluate_photos,
        evaluate_spoiled_photos,
    )

    if (photos is None) != (photo_texts is None):
        raise DataError("--photos and --photo-texts go together: the pictures, and their texts")
    if spoiled and photos is None:
        raise DataError("--spoiled wants --photos, whose plates it spoils, and --photo-texts")
    recognizer = (Recognizer if single_look else CropReader).load(
        weights, backend=backend, device=device, precision=precision, threshold=threshold
    )
    if formats is not None:
        recognizer.formats = recognizer.formats.joined(plates.load(formats))
    result = computed(recognizer.network) | evaluate(recognizer, data, labels, negatives)
    if photos is not None and photo_texts is not None:
        result |= evaluate_photos(recognizer, photos, photo_texts)
        if spoiled:
            result |= evaluate_spoiled_photos(recognizer, photos, photo_texts)
    if latency:
        from training.latency import recognizer_latency

        result["latency"] = recognizer_latency(weights, device)
    report(result, as_json)


@app.command("decoding")
def _evaluate_decoding(
    data: Data,
    labels: Annotated[Path | None, typer.Option(help="Checked texts: file,text.")] = None,
    copies: Annotated[
        int, typer.Option(min=0, help="Of each crop, photographed badly as in training.")
    ] = 4,
    weights: Weights = None,
    backend: Backend = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Judges what decoding makes of the recognizer's probabilities, with formats and without."""
    from platestream.vision.recognizer import Recognizer
    from training.recognition.decoding_evaluation import evaluate

    recognizer = Recognizer.load(weights, backend=backend)
    result = computed(recognizer.network) | evaluate(recognizer, data, labels, copies, seed)
    report(result, as_json)


@app.command("detector")
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
    as_read: Annotated[
        bool,
        typer.Option(
            "--as-read",
            help="The plates that `platestream read` gives: the shipped recognizer has a say.",
        ),
    ] = False,
    backend: Backend = "auto",
    device: Device = "cpu",
    precision: Precision = "auto",
    latency: Latency = False,
    as_json: Json = False,
) -> None:
    """Judges the detector on street photographs."""
    from platestream.vision.detector import Detector
    from platestream.vision.reader import PlateReader
    from platestream.vision.recognizer import Recognizer
    from training.detection import evaluation

    detector = Detector.load(
        weights, backend=backend, device=device, precision=precision, score_threshold=threshold
    )
    find: evaluation.Find = detector.detect
    if as_read:
        recognizer = Recognizer.load(backend=backend, device=device, precision=precision)
        find = evaluation.as_read(PlateReader(detector, recognizer))
    result = (
        computed(detector.network)
        | {"score_threshold": detector.score_threshold}
        | evaluation.evaluate(find, data, labels, corrections, empty, negatives)
    )
    if latency:
        from training.latency import detector_latency

        result["latency"] = detector_latency(weights, device)
    report(result, as_json)


@app.command("reader")
def _evaluate_reader(
    data: Data,
    labels: Annotated[Path, typer.Option(help="file,x1,y1,x2,y2,text,readable,lines.")],
    threshold: Annotated[float | None, typer.Option(min=0, max=1)] = None,
    cut: Annotated[
        float | None,
        typer.Option(
            min=0, max=0.9, metavar="SHARE", help="Photographs end where so much of a plate is off."
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            min=8, max=70, metavar="PX", help="Plates made so small lie in frames of 1920x1080."
        ),
    ] = None,
    spoiled: Annotated[
        bool,
        typer.Option("--spoiled", help="Photographs turned, smeared, dark, in rain, in mud, …"),
    ] = False,
    video: Annotated[
        bool, typer.Option("--video", help="As frames of videos are read, with no parts.")
    ] = False,
    detector_weights: options.OtherWeights = None,
    recognizer_weights: options.OtherWeights = None,
    backend: Backend = "auto",
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Judges detector and recognizer together on whole photographs."""
    from platestream.vision.reader import PICTURE_TILE, PlateReader
    from training.reader_evaluation import (
        evaluate,
        evaluate_cut,
        evaluate_small,
        evaluate_spoiled,
    )

    if (cut is not None) + (width is not None) + spoiled > 1:
        raise DataError("--cut, --width and --spoiled do not go together")
    reader = PlateReader.load(
        detector_weights=detector_weights,
        recognizer_weights=recognizer_weights,
        backend=backend,
        device=device,
        threshold=threshold,
        tile=0 if video else PICTURE_TILE,
        video=video,
    )
    if cut is not None:
        report(evaluate_cut(reader, data, labels, cut), as_json)
    elif width is not None:
        report(evaluate_small(reader, data, labels, width), as_json)
    elif spoiled:
        report(evaluate_spoiled(reader, data, labels), as_json)
    else:
        report(evaluate(reader, data, labels), as_json)


@app.command("painted")
def _evaluate_painted(
    data: Data,
    labels: Annotated[Path, typer.Option(help="Checked boxes: file,x1,y1,x2,y2,ignore.")],
    kind: Annotated[str, typer.Option(help="The plates' type.")] = "ru-1a",
    lean: Annotated[
        float, typer.Option(min=0, max=0.5, help="How far they lean: standard deviation, radians.")
    ] = 0.07,
    detector_weights: options.OtherWeights = None,
    recognizer_weights: options.OtherWeights = None,
    backend: Backend = "auto",
    device: Device = "cpu",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Judges both models on plates painted over those of photographs."""
    from platestream.vision.reader import PlateReader
    from training.painted_evaluation import evaluate

    reader = PlateReader.load(
        detector_weights=detector_weights,
        recognizer_weights=recognizer_weights,
        backend=backend,
        device=device,
    )
    report(evaluate(reader, data, labels, kind, lean, seed), as_json)


def computed(network: Network) -> dict[str, Any]:
    return {"backend": network.backend, "computed_in": network.run.precision}
