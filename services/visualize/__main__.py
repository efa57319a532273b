"""``python -m services.visualize``: runs visualize as a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from platestream import options, runtime
from services.visualize import service


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    return options.invoke(_visualize, "platestream visualize", argv)


def _visualize(
    camera: options.Camera = None,
    cameras: options.Cameras = None,
    redis: options.Redis = None,
    config: options.Config = None,
    assignments: options.Set = None,
    log_level: options.LogLevel = None,
) -> None:
    """Draws the latest reading on every frame."""
    flags = {"camera": camera, "redis.url": redis, "log.level": log_level}
    if cameras is not None:
        from platestream import fleet

        raise typer.Exit(fleet.serve("visualize", cameras, flags, config, assignments))
    settings = options.load(flags, config, assignments)
    raise typer.Exit(runtime.serve("visualize", settings, service.Visualize().run))


if __name__ == "__main__":
    sys.exit(main())
