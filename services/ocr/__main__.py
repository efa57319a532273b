"""``python -m services.ocr``: runs one OCR replica as a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from platestream import options, runtime
from services.ocr import service


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    return options.invoke(_ocr, "platestream ocr", argv)


def _ocr(
    camera: Annotated[
        list[str] | None,
        typer.Option(help="Only this camera; may be repeated. Default: all that Redis knows of."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="This replica's name in the group.")] = None,
    backend: Annotated[
        str | None, typer.Option(help="auto, openvino, onnxruntime or torch.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:0, …")] = None,
    redis: options.Redis = None,
    config: options.Config = None,
    assignments: options.Set = None,
    log_level: options.LogLevel = None,
) -> None:
    """Finds and reads plates; start as many replicas as there are cores to spare."""
    flags = {
        "ocr.cameras": ",".join(camera) if camera else None,
        "ocr.name": name,
        "ocr.backend": backend,
        "ocr.device": device,
        "redis.url": redis,
        "log.level": log_level,
    }
    settings = options.load(flags, config, assignments)
    raise typer.Exit(
        runtime.serve("ocr", settings, service.Ocr().run, cameras=settings.ocr.cameras)
    )


if __name__ == "__main__":
    sys.exit(main())
