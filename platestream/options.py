"""Command-line options that every command spells the same, and how a command is run."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from platestream import settings, stdout
from platestream.errors import PlatestreamError
from platestream.stdout import print_json

Camera = Annotated[str | None, typer.Option(help="The camera's name; keys in Redis carry it.")]
Cameras = Annotated[
    Path | None,
    typer.Option("--cameras", help="Serve all cameras of this file, a process each."),
]
Redis = Annotated[
    str | None, typer.Option(help="Redis URL; default: REDIS_URL, else 127.0.0.1:6379.")
]
Config = Annotated[
    str | None, typer.Option(help="Settings file (TOML); default: platestream.toml.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.NAME=VALUE", help="Any setting; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, and nothing else there.")]
Backend = Annotated[str, typer.Option(help="auto, openvino, onnxruntime or torch.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:0, …")]
OtherWeights = Annotated[Path | None, typer.Option(help="Other weights.")]
LogLevel = Annotated[str | None, typer.Option(help="debug, info, warning or error.")]


def load(
    flags: dict[str, Any], config: str | None, assignments: list[str] | None
) -> settings.Settings:
    """Reads the settings with a command's flags on top.

    Raises:
        SettingsError: A flag, the environment or the settings file is wrong.
    """
    if config is not None:
        os.environ[settings.CONFIG_VARIABLE] = config
    return settings.load(flags, tuple(assignments or ()))


def invoke(command: Callable[..., Any], name: str, argv: Sequence[str] | None = None) -> int:
    """Runs a function with the options of its signature; returns the exit code.

    An error of ours, and a file that cannot be read or written, becomes one line on stderr and exit
    code 2, never a traceback; with ``--json`` it is an object on stdout, too.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    return invoke_app(app, name, argv)


def invoke_app(app: typer.Typer, name: str, argv: Sequence[str] | None = None) -> int:
    """Runs a typer application; returns the exit code, as ``invoke`` does."""
    words = list(sys.argv[1:] if argv is None else argv)
    stdout.prepare()
    try:
        try:
            app(args=words, prog_name=name, standalone_mode=True)
        except SystemExit as done:
            sys.stdout.flush()
            return int(done.code) if isinstance(done.code, int) else (1 if done.code else 0)
        except PlatestreamError as error:
            return _refuse(str(error), words)
        except OSError as error:
            if error.errno == errno.ENOSPC or not isinstance(error.filename, str | bytes):
                raise
            # a path that was given, and that the system has something against
            return _refuse(f"'{os.fsdecode(error.filename)}': {error.strerror}", words)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        where = f"'{error.filename}'" if error.filename else "what was to be printed"
        print(f"error: cannot write {where}: {error.strerror}", file=sys.stderr)
        _forget_stdout()
        return 2
    return 0


def _refuse(why: str, words: Sequence[str]) -> int:
    print(f"error: {why}", file=sys.stderr)
    if "--json" in words:
        print_json({"error": why})
    return 2


def _forget_stdout() -> None:
    """Sends what is left in stdout's buffer nowhere, so that the exit does not fail on it."""
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
