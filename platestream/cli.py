"""The command line: ``platestream run | demo | recognize | read | status | …``."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from platestream import (
    __version__,
    cameras_command,
    dead_command,
    demo,
    options,
    probe,
    run_command,
    status,
)
from platestream.errors import PlatestreamError, SettingsError
from platestream.picture_file import ENDINGS, KINDS, Image, is_picture, read_picture
from platestream.stdout import print_json, printable

if TYPE_CHECKING:  # each command imports what it needs
    from platestream.vision.decoding import PlateText
    from platestream.vision.reader import ReadPlate

_CROPS_AT_ONCE = 16
_MOST_PIXELS = 2**28  # phones make pictures of 200 million pixels
_LONGEST_SIDE = 65_500  # of a JPEG that libjpeg reads; a panorama may be so wide
_MOST_HELD_BYTES = 64 * 2**20  # of pictures that wait for the others of their batch

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Reads licence plates on live video: capture, OCR, drawing and writing, over Redis.",
)

PlatesFile = Annotated[
    Path | None, typer.Option(help="What plates may carry (TOML); default: what is built in.")
]
Paths = Annotated[  # text: answers name pictures as the caller did
    list[str],
    typer.Argument(help=f"Pictures ({KINDS}), or folders of them; - is stdin, for one picture."),
]
Threshold = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Least confidence of a character; default: the model's own."),
]


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        print(f"platestream {__version__}")
        raise typer.Exit(0)


app.command("run")(run_command.run)
app.command("demo")(demo.demo)
app.add_typer(cameras_command.app, name="cameras")
app.add_typer(dead_command.app, name="dead")


@app.command("status")
def _status(
    redis: options.Redis = None,
    config: options.Config = None,
    assignments: options.Set = None,
    as_json: options.Json = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Look every SECONDS, with rates, until Ctrl-C."),
    ] = False,
    seconds: Annotated[
        float | None, typer.Argument(min=0.1, help="Pause between two looks; default: 2.")
    ] = None,
) -> None:
    """Shows streams, groups, lag and drops, as Redis has them."""
    if seconds is not None and not watch:
        raise SettingsError(f"status {seconds:g}: how often to look goes with --watch")
    settings = options.load({"redis.url": redis}, config, assignments)
    if watch:
        status.watch(settings.redis, seconds or status.LOOK_EVERY_S, as_json=as_json)
    else:
        status.show(settings.redis, as_json=as_json)


@app.command("health")
def _health(
    url: Annotated[
        str | None, typer.Option(help="Default: /readyz at http.host and http.port.")
    ] = None,
    config: options.Config = None,
    assignments: options.Set = None,
) -> None:
    """Asks a service whether it is ready; exit code 0 if so, else 1."""
    if url is None:
        http = options.load({}, config, assignments).http
        if not http.port:
            raise SettingsError("no http.port is set; name the service's with --url")
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(http.host, http.host)
        url = f"http://{f'[{host}]' if ':' in host else host}:{http.port}/readyz"
    raise typer.Exit(probe.main([url]))


@app.command("recognize")
def _recognize(
    paths: Paths,
    as_json: options.Json = False,
    weights: options.OtherWeights = None,
    backend: options.Backend = "auto",
    device: options.Device = "cpu",
    threshold: Threshold = None,
    plates_file: PlatesFile = None,
) -> None:
    """Reads plate crops: picture in, text out."""
    from platestream.vision.crop_reader import CropReader

    reader = CropReader.load(
        weights, backend=backend, device=device, threshold=threshold, plates_file=plates_file
    )

    def answer(paths: list[str], images: list[Image]) -> list[dict[str, Any]]:
        texts = reader.predict(images)
        return [
            {"path": path, **_text_fields(text, characters=True)}
            for path, text in zip(paths, texts, strict=True)
        ]

    def line(said: dict[str, Any]) -> str:
        mark = "" if said["accepted"] else "  (not accepted)" if said["text"] else "no plate"
        sure = f"  {100 * said['confidence']:.0f}%" if said["text"] else ""
        kind = f"  {said['format']}" if said["format"] else ""
        return f"{said['path']}: {said['text']}{sure}{kind}{mark}"

    _each_picture(paths, answer, line, as_json, at_once=_CROPS_AT_ONCE)


@app.command("read")
def _read(
    paths: Paths,
    as_json: options.Json = False,
    backend: options.Backend = "auto",
    device: options.Device = "cpu",
    detector_weights: options.OtherWeights = None,
    recognizer_weights: options.OtherWeights = None,
    threshold: Threshold = None,
    plates_file: PlatesFile = None,
) -> None:
    """Reads whole pictures: plates with corners and text."""
    from platestream.vision.reader import PlateReader

    reader = PlateReader.load(
        detector_weights=detector_weights,
        recognizer_weights=recognizer_weights,
        backend=backend,
        device=device,
        threshold=threshold,
        plates_file=plates_file,
    )

    def answer(paths: list[str], images: list[Image]) -> list[dict[str, Any]]:
        return [
            {
                "path": path,
                "width": image.shape[1],
                "height": image.shape[0],
                "plates": [_plate_fields(plate, image) for plate in plates],
            }
            for path, image, plates in zip(paths, images, reader.read(images), strict=True)
        ]

    def line(said: dict[str, Any]) -> str:
        texts = [
            f"{p['text'] or '(unreadable)'} {100 * p['confidence']:.0f}%"
            + ("" if p["accepted"] else " (not accepted)")
            for p in said["plates"]
        ]
        return f"{said['path']}: {', '.join(texts) or 'no plate'}"

    _each_picture(paths, answer, line, as_json)


_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def _pass_on(name: str, module: str, help_text: str, *, named: bool = False) -> None:
    """Makes a command that hands its arguments to another package's ``main``.

    By name, at run time: the library must not depend on services or training.
    """

    def command(context: typer.Context) -> None:
        try:
            main = importlib.import_module(module).main
            code = main([name, *context.args] if named else context.args)
        except ModuleNotFoundError as error:
            package = module.partition(".")[0]
            if (error.name or "").partition(".")[0] != package:
                raise
            raise PlatestreamError(
                f"'platestream {name}' is not possible here: the package {package} is not "
                "installed (of the images, platestream:train has all there are)"
            ) from error
        raise typer.Exit(code)

    app.command(name, help=help_text, context_settings=_PASS_ON)(command)


_pass_on("capture", "services.capture.__main__", "One service: a source's frames into Redis.")
_pass_on("ocr", "services.ocr.__main__", "One service: finds and reads plates.")
_pass_on("track", "services.track.__main__", "One service: tracks and passages of plates.")
_pass_on("visualize", "services.visualize.__main__", "One service: draws the latest reading.")
_pass_on("writer", "services.writer.__main__", "One service: the video and the JSON lines.")
_pass_on("train", "training.cli", "Trains the recognizer or the detector.", named=True)
_pass_on("evaluate", "training.cli", "Judges the recognizer or the detector.", named=True)
_pass_on(
    "calibrate", "training.cli", "Fits a recognizer's confidences to checked crops.", named=True
)
_pass_on("average", "training.cli", "Makes one model of several.", named=True)
_pass_on("export", "training.cli", "Writes a trained model as ONNX.", named=True)
_pass_on("quantize", "training.cli", "Writes a trained model as ONNX in int8.", named=True)
_pass_on("clean-labels", "training.cli", "Finds wrong labels of training crops.", named=True)
_pass_on("contact-sheet", "training.cli", "Shows augmented training samples.", named=True)
_pass_on("fit-corners", "training.cli", "Finds the corners of boxed plates.", named=True)
_pass_on("draw-plates", "training.cli", "Draws plate crops of any country.", named=True)


def _plate_fields(plate: ReadPlate, image: Image) -> dict[str, Any]:
    found = plate.detection
    return {
        "corners": [[round(float(x), 2), round(float(y), 2)] for x, y in found.corners],
        "box": [round(v, 2) for v in found.box_in(image)],
        "score": round(found.score, 4),
        **_text_fields(plate.text, characters=False),
        "cut": plate.cut,
    }


def _text_fields(text: PlateText, *, characters: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {"text": text.text, "confidence": round(text.confidence, 4)}
    if characters:
        fields["characters"] = [
            {"char": c.char, "confidence": round(c.confidence, 4)} for c in text.characters
        ]
    return {**fields, "accepted": text.accepted, "format": text.format, "raw": text.raw}


def _each_picture(
    paths: list[str],
    answer: Callable[[list[str], list[Image]], list[dict[str, Any]]],
    line: Callable[[dict[str, Any]], str],
    as_json: bool,
    *,
    at_once: int = 1,
) -> None:
    """Does every picture; those that cannot be read are said so, and the exit code is 1.

    Args:
        answer: What to say of some pictures.
        line: The same of one of them, for people.
        at_once: How many pictures ``answer`` gets; fewer where they are large.
    """
    failed = False
    for batch in _batches(paths, at_once):
        pictures = [(path, image) for path, image in batch if not isinstance(image, str)]
        said = iter(answer([p for p, _ in pictures], [i for _, i in pictures]))
        for path, image in batch:
            if isinstance(image, str):
                failed = True
                if as_json:
                    print_json({"path": path, "error": image})
                else:
                    print(f"error: {printable(image)}", file=sys.stderr)
            elif as_json:
                print_json(next(said))
            else:
                print(printable(line(next(said))), flush=True)
    if failed:
        raise typer.Exit(1)


def _batches(paths: list[str], at_once: int) -> Iterator[list[tuple[str, Image | str]]]:
    """Pictures, or the errors in their places: so many at a time, and not too many pixels."""
    batch: list[tuple[str, Image | str]] = []
    held = 0
    for path, error in _expand(paths):
        image: Image | str = error
        if not error:
            try:
                file = Path("/dev/stdin" if path == "-" else path)
                image = read_picture(file, most_pixels=_MOST_PIXELS, most_side=_LONGEST_SIDE)
                held += image.nbytes
            except PlatestreamError as why:
                image = str(why)
        batch.append((path, image))
        if len(batch) >= at_once or held >= _MOST_HELD_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _expand(paths: list[str]) -> Iterator[tuple[str, str]]:
    """Every path, for a folder those of its pictures, with what is wrong with it already."""
    for path in paths:
        if not path or not os.path.isdir(path):  # what may not be looked at is said when it is read
            yield path, "" if path else "an empty path names no picture"
            continue
        try:
            found = sorted(p.name for p in Path(path).iterdir() if is_picture(p))
        except OSError as error:
            yield path, f"folder '{path}' cannot be read: {error.strerror}"
            continue
        for name in found:
            yield os.path.join(path, name), ""  # Path would tidy up what was given
        if not found:
            yield path, f"folder '{path}' holds no pictures ({', '.join(ENDINGS)})"


def main() -> None:
    """Runs the command line."""
    sys.exit(options.invoke_app(app, "platestream"))
