"""The command ``run``: its options, its progress line, its table at the end."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from platestream import options, pipeline
from platestream.errors import SettingsError
from platestream.job import Job, Progress, Result, default_job
from platestream.pipeline import Pipeline
from platestream.settings import Settings
from platestream.stdout import print_json
from platestream.video import is_live

_LEVELS_SHOWN = {"warning", "error"}


def run(
    source: Annotated[
        str,
        typer.Argument(help="A file, a folder, an rtsp://, http:// or udp:// URL, or a device."),
    ],
    output: Annotated[Path | None, typer.Option(help="The video; default: out/CAMERA.mp4.")] = None,
    readings: Annotated[
        Path | None, typer.Option(help="A line of JSON per frame; default: beside the video.")
    ] = None,
    ocr_replicas: Annotated[int, typer.Option(min=0, max=64, help="OCR processes.")] = 1,
    live: Annotated[
        bool | None,
        typer.Option("--live/--file", help="Pace a file as a camera would, and never wait."),
    ] = None,
    read_every: Annotated[
        int | None,
        typer.Option(min=1, max=1000, metavar="N", help="Of a file, read one frame in N."),
    ] = None,
    sync: Annotated[
        str | None,
        typer.Option(
            metavar="latest|exact",
            help="latest: a frame waits for nothing; exact (files): each has its own reading.",
        ),
    ] = None,
    sequential: Annotated[
        bool, typer.Option("--sequential", help="One process, frame by frame: the slow way.")
    ] = False,
    camera: Annotated[
        str | None,
        typer.Option(help="The camera's name; keys in Redis carry it. Default: the file's name."),
    ] = None,
    redis: Annotated[
        str | None,
        typer.Option(help="Redis URL; default: redis.url of the settings, else one of its own."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
    config: options.Config = None,
    assignments: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """Reads plates on a video, start to end: Redis, the services, the files."""
    console = Console(stderr=True, highlight=False)
    flags = {"visualize.sync": sync, "ocr.read_every": read_every}
    named = {"camera": camera, "redis.url": redis}
    settings = options.load(named | flags, config, assignments)
    waits_for_nothing = is_live(source) or bool(settings.capture.live if live is None else live)
    if read_every and waits_for_nothing:  # a settings file may serve files and cameras
        raise SettingsError(
            f"--read-every is for files: '{source}' is live, and OCR reads its newest frame; "
            "leave it out"
        )
    if sequential:
        _check_sequential(settings, waits_for_nothing, ocr_replicas)
    if settings.visualize.sync == "exact":
        _check_exact(settings, source, waits_for_nothing, ocr_replicas)
    job = default_job(
        source,
        output=output,
        readings=readings,
        camera=settings.camera if "camera" in settings.model_fields_set else None,
        replicas=ocr_replicas,
        live=live,
        redis_url=settings.redis.url if "url" in settings.redis.model_fields_set else None,
        force=force,
        assignments=(
            *(assignments or ()),
            *(f"{name}={value}" for name, value in flags.items() if value is not None),
        ),
    )
    if sequential:
        from platestream import sequential as slow

        with Watch(console) as watch:
            result = slow.run(job, settings, watch.update)
    else:
        result = run_job(job, console)
    if as_json:
        print_json(result.as_dict())
    else:
        show_result(console, job, result)


def _check_sequential(settings: Settings, live: bool, replicas: int) -> None:
    """Refuses what ``--sequential`` cannot do.

    Raises:
        SettingsError: It reads every frame of a file, in this process.
    """
    if settings.ocr.read_every > 1:
        raise SettingsError("--sequential reads every frame: leave --read-every out")
    if live:
        raise SettingsError("--sequential is for files, and waits for each frame: leave --live out")
    if replicas != 1:
        raise SettingsError("--sequential reads in this one process: leave --ocr-replicas out")


def _check_exact(settings: Settings, source: str, live: bool, replicas: int) -> None:
    """Refuses what cannot be drawn with ``--sync exact``.

    Raises:
        SettingsError: Frames that wait for nothing, or readings that will never come.
    """
    if live:
        raise SettingsError(
            f"--sync exact is for files: '{source}' is live, and its frames wait for nothing; "
            "leave it at --sync latest"
        )
    if settings.ocr.read_every > 1:
        raise SettingsError(
            "--sync exact draws every frame with its own reading, and with --read-every most have "
            "none: leave one of them out"
        )
    if not replicas:
        raise SettingsError(
            "--sync exact draws every frame with its own reading, and with --ocr-replicas 0 there "
            "is none: leave one of them out"
        )


def run_job(job: Job, console: Console) -> Result:
    """Runs a job through the services, with its progress on the console."""

    def on_log(service: str, level: str, event: str) -> None:
        if level in _LEVELS_SHOWN:
            console.print(Text(f"{level}: {service}: {event}"), soft_wrap=True)

    process = Pipeline(job, on_log)
    pipeline.stop_on_signals(process)
    with Watch(console) as watch:
        return process.run(watch.update)


def show_result(console: Console, job: Job, result: Result) -> None:
    """Prints the plates as a table, and what was written where."""
    facts = result.as_dict()
    table = Table("plate", "confidence", "first frame", "last frame")
    for seen in result.plates:
        table.add_row(
            seen.text,
            f"{100 * seen.confidence:.0f}%",
            str(seen.first_frame_id),
            str(seen.last_frame_id),
        )
    if result.plates:
        Console().print(table)
        if result.plates_left_out:
            console.print(f"and {result.plates_left_out} plates before these")
    else:
        print("no plate was read and accepted")
    age = facts["overlay_age_ms"]
    assert isinstance(age, dict)
    console.print(
        f"{result.frames_written} of {result.frames_in} frames in {result.wall_s:.1f} s "
        f"({facts['fps']} fps); overlay age p50 {age['p50']} ms, p95 {age['p95']} ms"
    )
    for warning in result.warnings:
        console.print(Text(f"warning: {warning}"), soft_wrap=True)
    for files in result.files[-1:]:
        console.print(f"video: {files.video}\nreadings: {files.lines}", soft_wrap=True)
    if len(result.files) > 1:
        console.print(f"the last of {len(result.files)} files each", soft_wrap=True)


class Watch:
    """The progress of a run on the console: a living line, or now and then one in a log."""

    _LOG_EVERY = 200  # updates of a run's watch loop: some ten seconds

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=5) if console.is_terminal else None
        self._updates = 0
        self._times: list[tuple[float, int]] = []

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def update(self, progress: Progress) -> None:
        """Shows where the run is."""
        now = self._console.get_time()
        self._times = [*self._times[-40:], (now, progress.frames_written)]
        (t0, f0), (t1, f1) = self._times[0], self._times[-1]
        line = describe(replace(progress, fps=(f1 - f0) / (t1 - t0) if t1 > t0 else 0.0))
        self._updates += 1
        if self._live:
            if not self._live.is_started:  # not sooner: it has a thread, and services are forked
                self._live.start()
            self._live.update(Text(line))
        elif self._updates % self._LOG_EVERY == 0:
            print(line, file=sys.stderr)


def describe(progress: Progress) -> str:
    """A run's progress in one line."""
    total = f" of {progress.promised}" if progress.promised else ""
    return (
        f"frames {progress.frames_written}{total}  {progress.fps:.1f} fps  "
        f"plates {progress.plates}  OCR {progress.ocr_behind} frames behind"
    )
