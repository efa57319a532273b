"""``python -m services.writer``: runs the writer as a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from platestream import options, runtime
from services.writer import service


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    return options.invoke(_writer, "platestream writer", argv)


def _writer(
    output: Annotated[
        str | None, typer.Argument(help="The MP4; {camera} and {started} are filled in.")
    ] = None,
    readings: Annotated[str | None, typer.Option(help="The JSON lines.")] = None,
    force: Annotated[bool | None, typer.Option("--force", help="Overwrite.")] = None,
    once: Annotated[bool | None, typer.Option("--once", help="Exit after a recording.")] = None,
    camera: options.Camera = None,
    cameras: options.Cameras = None,
    redis: options.Redis = None,
    config: options.Config = None,
    assignments: options.Set = None,
    log_level: options.LogLevel = None,
) -> None:
    """Writes the video and a line of JSON per frame."""
    flags = {
        "writer.output": output,
        "writer.readings": readings,
        "writer.force": force,
        "writer.once": once,
        "camera": camera,
        "redis.url": redis,
        "log.level": log_level,
    }
    if cameras is not None:
        from platestream import fleet

        raise typer.Exit(
            fleet.serve("writer", cameras, flags, config, assignments, once=bool(once))
        )
    settings = options.load(flags, config, assignments)
    writer = service.Writer()
    code = runtime.serve("writer", settings, writer.run)
    writer.close()
    raise typer.Exit(code)


if __name__ == "__main__":
    sys.exit(main())
