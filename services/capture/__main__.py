"""``python -m services.capture``: runs capture as a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from platestream import options, runtime
from services.capture import service


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    return options.invoke(_capture, "platestream capture", argv)


def _capture(
    source: Annotated[
        str | None,
        typer.Argument(help="A file, a folder, an rtsp://, http:// or udp:// URL, or /dev/video0."),
    ] = None,
    camera: options.Camera = None,
    cameras: options.Cameras = None,
    live: Annotated[
        bool | None, typer.Option("--live/--file", help="Pace a file as a camera would.")
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="With --cameras: exit when all have ended.")
    ] = False,
    redis: options.Redis = None,
    config: options.Config = None,
    assignments: options.Set = None,
    log_level: options.LogLevel = None,
) -> None:
    """Publishes a source's frames to Redis."""
    flags = {
        "capture.source": source,
        "camera": camera,
        "capture.live": live,
        "redis.url": redis,
        "log.level": log_level,
    }
    if cameras is not None:
        from platestream import fleet

        raise typer.Exit(
            fleet.serve("capture", cameras, flags, config, assignments, once=bool(once))
        )
    settings = options.load(flags, config, assignments)
    raise typer.Exit(runtime.serve("capture", settings, service.Capture().run))


if __name__ == "__main__":
    sys.exit(main())
