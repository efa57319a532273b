"""The command line: ``platestream run | demo | recognize | read | status | …``."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
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
from platestream.vision.decoding import PlateText

_MAX_PICTURE_BYTES = 256 * 2**20

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Reads licence plates on live video: capture, OCR, drawing and writing, over Redis.",
)

Json = Annotated[
    bool, typer.Option("--json", help="One JSON object per line on stdout, and nothing else.")
]
PlatesFile = Annotated[
    Path | None, typer.Option(help="What plates may carry (TOML); default: what is built in.")
]
Paths = Annotated[list[Path], typer.Argument(help="Pictures (BMP, JPEG, PNG), or folders of them.")]


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
    as_json: Json = False,
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
    as_json: Json = False,
    weights: Annotated[Path | None, typer.Option(help="Other weights.")] = None,
    backend: Annotated[str, typer.Option(help="auto, openvino, onnxruntime or torch.")] = "auto",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:0, …")] = "cpu",
    threshold: Annotated[float | None, typer.Option(min=0, max=1)] = None,
    plates_file: PlatesFile = None,
) -> None:
    """Reads plate crops: picture in, text out."""
    from platestream.vision.recognizer import Recognizer

    recognizer = Recognizer.load(
        weights, backend=backend, device=device, threshold=threshold, plates_file=plates_file
    )

    def one(path: Path, image: np.ndarray[Any, np.dtype[np.uint8]]) -> dict[str, Any]:
        return {"path": str(path), **_text_fields(recognizer.predict(image), characters=True)}

    def line(said: dict[str, Any]) -> str:
        mark = "" if said["accepted"] else "  (not accepted)" if said["text"] else "no plate"
        sure = f"  {100 * said['confidence']:.0f}%" if said["text"] else ""
        return f"{said['path']}: {said['text']}{sure}{mark}"

    _each_picture(paths, one, line, as_json)


@app.command("read")
def _read(
    paths: Paths,
    as_json: Json = False,
    backend: Annotated[str, typer.Option(help="auto, openvino, onnxruntime or torch.")] = "auto",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:0, …")] = "cpu",
    detector_weights: Annotated[Path | None, typer.Option(help="Other weights.")] = None,
    recognizer_weights: Annotated[Path | None, typer.Option(help="Other weights.")] = None,
    threshold: Annotated[float | None, typer.Option(min=0, max=1)] = None,
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

    def one(path: Path, image: np.ndarray[Any, np.dtype[np.uint8]]) -> dict[str, Any]:
        plates = [
            {
                "corners": [[round(float(x), 2), round(float(y), 2)]
                            for x, y in plate.detection.corners],
                "box": [round(v, 2) for v in plate.detection.box],
                "score": round(plate.detection.score, 4),
                **_text_fields(plate.text, characters=False),
            }
            for plate in reader.read([image])[0]
        ]  # fmt: skip
        return {
            "path": str(path),
            "width": image.shape[1],
            "height": image.shape[0],
            "plates": plates,
        }

    def line(said: dict[str, Any]) -> str:
        texts = [
            f"{p['text'] or '(unreadable)'} {100 * p['confidence']:.0f}%"
            + ("" if p["accepted"] else " (not accepted)")
            for p in said["plates"]
        ]
        return f"{said['path']}: {', '.join(texts) or 'no plate'}"

    _each_picture(paths, one, line, as_json)


_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def _pass_on(name: str, module: str, help_text: str, *, named: bool = False) -> None:
    """Makes a command that hands its arguments to another package's ``main``.

    By name, at run time: the library must not depend on services or training.
    """

    def command(context: typer.Context) -> None:
        main = importlib.import_module(module).main
        raise typer.Exit(main([name, *context.args] if named else context.args))

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
_pass_on("export", "training.cli", "Writes a trained model as ONNX.", named=True)
_pass_on("clean-labels", "training.cli", "Finds wrong labels of training crops.", named=True)
_pass_on("contact-sheet", "training.cli", "Shows augmented training samples.", named=True)


def _text_fields(text: PlateText, *, characters: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {"text": text.text, "confidence": round(text.confidence, 4)}
    if characters:
        fields["characters"] = [
            {"char": c.char, "confidence": round(c.confidence, 4)} for c in text.characters
        ]
    return {**fields, "accepted": text.accepted, "format": text.format, "raw": text.raw}


def _each_picture(
    paths: list[Path],
    one: Callable[[Path, Any], dict[str, Any]],
    line: Callable[[dict[str, Any]], str],
    as_json: bool,
) -> None:
    """Does every picture; those that cannot be read are said so, and the exit code is 1."""
    failed = False
    for path in _expand(paths):
        try:
            said = one(path, read_picture(path))
        except PlatestreamError as error:
            failed = True
            if as_json:
                print(json.dumps({"path": str(path), "error": str(error)}, ensure_ascii=False))
            else:
                print(f"error: {error}", file=sys.stderr)
            continue
        print(json.dumps(said, ensure_ascii=False) if as_json else line(said), flush=True)
    if failed:
        raise typer.Exit(1)


def _expand(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            endings = {".bmp", ".jpg", ".jpeg", ".png"}
            yield from sorted(p for p in path.iterdir() if p.suffix.lower() in endings)
        else:
            yield path


def read_picture(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Reads a picture file as HxWx3 uint8 BGR.

    Raises:
        PlatestreamError: It is missing, too large, or no picture.
    """
    if not path.is_file():
        raise PlatestreamError(f"no such file: '{path}'")
    try:
        size = path.stat().st_size
        if size > _MAX_PICTURE_BYTES:
            raise PlatestreamError(f"'{path}' has {size} bytes; pictures have at most 256 MiB")
        data = np.fromfile(path, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except OSError as error:
        raise PlatestreamError(f"cannot read '{path}': {error.strerror}") from error
    except cv2.error as error:
        raise PlatestreamError(f"'{path}' is not a picture that can be read") from error
    if image is None:
        raise PlatestreamError(f"'{path}' is not a picture that can be read (BMP, JPEG or PNG)")
    return image.astype(np.uint8)


def main() -> None:
    """Runs the command line."""
    sys.exit(options.invoke_app(app, "platestream"))
