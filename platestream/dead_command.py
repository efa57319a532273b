"""The command ``dead``: frames that OCR could not read: listed, tried again, dropped."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from platestream import options, streams
from platestream.errors import PlatestreamError
from platestream.stdout import print_json
from platestream.streams import DeadFrame

app = typer.Typer(no_args_is_help=True, help="Frames that OCR could not read.")

_Camera = Annotated[str | None, typer.Option(help="Only this camera's; default: all cameras'.")]
_Ids = Annotated[list[str] | None, typer.Argument(help="As `dead list` shows them.")]
_All = Annotated[bool, typer.Option("--all", help="All of them.")]


@app.command("list")
def list_frames(
    camera: _Camera = None,
    as_json: options.Json = False,
    redis: options.Redis = None,
    config: options.Config = None,
    assignments: options.Set = None,
) -> None:
    """Lists them: one JSON object per line with --json."""
    with _connected(redis, config, assignments) as client:
        frames = [f for one in _cameras(client, camera) for f in streams.list_dead(client, one)]
    if as_json:
        for frame in frames:
            print_json(_facts(frame))
        return
    if not frames:
        print("no frame is dead")
        return
    table = Table("id", "camera", "frame", "put aside (UTC)", "tries", "error")
    for frame in frames:
        when = str(_facts(frame)["buried_at"])[:19].replace("T", " ")
        numbers = (str(frame.frame_id), when, str(frame.deliveries))
        table.add_row(frame.id, frame.camera, *numbers, Text(frame.error, overflow="fold"))
    Console().print(table)


@app.command("retry")
def retry_frames(
    ids: _Ids = None,
    everything: _All = False,
    camera: _Camera = None,
    as_json: options.Json = False,
    redis: options.Redis = None,
    config: options.Config = None,
    assignments: options.Set = None,
) -> None:
    """Gives them to OCR again; those that fail once more come back, with their error."""
    with _connected(redis, config, assignments) as client:
        retried = _apply(client, streams.retry_dead, ids, everything, camera)
    if as_json:
        print_json({"retried": retried})
    else:
        print(f"{retried} given to OCR again")


@app.command("drop")
def drop_frames(
    ids: _Ids = None,
    everything: _All = False,
    camera: _Camera = None,
    as_json: options.Json = False,
    redis: options.Redis = None,
    config: options.Config = None,
    assignments: options.Set = None,
) -> None:
    """Deletes them for good."""
    with _connected(redis, config, assignments) as client:
        dropped = _apply(client, streams.drop_dead, ids, everything, camera)
    if as_json:
        print_json({"dropped": dropped})
    else:
        print(f"{dropped} dropped")


@contextmanager
def _connected(
    url: str | None, config: str | None, assignments: list[str] | None
) -> Iterator[streams.Client]:
    settings = options.load({"redis.url": url}, config, assignments)
    try:
        yield streams.connect(settings.redis)
    except streams.FAILURE as error:
        raise streams.unreachable(error, settings.redis) from error


def _cameras(client: streams.Client, camera: str | None) -> list[str]:
    known = streams.registered_cameras(client)
    if camera is None:
        return known
    if camera not in known:
        names = ", ".join(known) or "none"
        raise PlatestreamError(f"no camera '{camera}' in this Redis; there are: {names}")
    return [camera]


def _apply(
    client: streams.Client,
    action: Callable[[streams.Client, str, list[str]], int],
    ids: list[str] | None,
    everything: bool,
    camera: str | None,
) -> int:
    """Does something to dead frames: to all that are named, or, if one is not there, to none."""
    if bool(ids) == everything:
        raise PlatestreamError("name the frames by their ids (see `dead list`), or say --all")
    dead = {
        one: [frame.id for frame in streams.list_dead(client, one)]
        for one in _cameras(client, camera)
    }
    if not everything:
        dead = _chosen(dead, dict.fromkeys(ids or ()))
    return sum(action(client, one, chosen) for one, chosen in dead.items() if chosen)


def _chosen(dead: dict[str, list[str]], ids: dict[str, None]) -> dict[str, list[str]]:
    chosen: dict[str, list[str]] = {}
    for one in ids:
        cameras = [camera for camera, there in dead.items() if one in there]
        if not cameras:
            raise PlatestreamError(f"no dead frame has the id '{one}'; see `dead list`")
        if len(cameras) > 1:
            names = ", ".join(cameras)
            raise PlatestreamError(f"cameras {names} each have a dead frame '{one}'; say --camera")
        chosen.setdefault(cameras[0], []).append(one)
    return chosen


def _facts(frame: DeadFrame) -> dict[str, Any]:
    when = datetime.datetime.fromtimestamp(frame.buried_at_ms / 1000, datetime.UTC)
    return {
        "id": frame.id,
        "camera": frame.camera,
        "frame_id": frame.frame_id,
        "error": frame.error,
        "deliveries": frame.deliveries,
        "buried_at": when.isoformat(timespec="milliseconds"),
        "bytes": frame.bytes,
    }
