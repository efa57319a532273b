"""The commands ``cameras check | list | forget``: a file of cameras, and the cameras in Redis."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from platestream import cameras_file, options, streams
from platestream.cameras_file import CamerasFileError
from platestream.errors import RedisError
from platestream.masking import mask
from platestream.messages import CameraName
from platestream.stdout import print_json

app = typer.Typer(no_args_is_help=True, help="Cameras: a file of them, and those in Redis.")


@app.command("check")
def check(
    path: Annotated[Path, typer.Argument(help="The file, such as cameras.toml.")],
    config: options.Config = None,
    assignments: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """Says what is wrong with a file of cameras; exit code 2 if anything is."""
    settings = options.load({}, config, assignments)
    try:
        cameras = cameras_file.read(path)
        cameras_file.check_outputs(cameras, settings.writer, path)
        cameras_file.check_budgets(cameras, settings.streams, path)
    except CamerasFileError as error:
        for problem in map(mask, error.problems):
            if as_json:
                print_json({"error": problem})
            else:
                print(f"error: {problem}", file=sys.stderr)
        raise typer.Exit(2) from error
    table = Table("camera", "source", "settings of its own")
    for name, entry in cameras.items():
        own = dict(entry.settings)
        source = mask(entry.source)
        if as_json:
            print_json({"camera": name, "source": source, "settings": own})
        said_own = ", ".join(f"{key}={value}" for key, value in own.items())
        table.add_row(name, escape(source), escape(said_own))
    if not as_json:
        Console().print(table)


@app.command("list")
def list_cameras(
    redis: options.Redis = None,
    config: options.Config = None,
    assignments: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """Lists the cameras that are served, as Redis has them."""
    address = options.load({"redis.url": redis}, config, assignments).redis
    try:
        cameras = _cameras(streams.connect(address))
    except streams.FAILURE as error:
        raise streams.unreachable(error, address) from error
    table = Table("camera", "source", "mode", "state", "last frame")
    for camera in cameras:
        if as_json:
            print_json(camera)
        table.add_row(*(escape(str(value)) for value in camera.values()))
    if not as_json:
        Console().print(table)


@app.command("forget")
def forget(
    camera: Annotated[str, typer.Argument(help="The camera's name.")],
    redis: options.Redis = None,
    config: options.Config = None,
    assignments: options.Set = None,
) -> None:
    """Deletes all that Redis holds of a camera that no service serves any more."""
    settings = options.load({"redis.url": redis, "camera": camera}, config, assignments)
    name: CameraName = settings.camera
    try:
        client = streams.connect(settings.redis)
        if alive := next(client.scan_iter(match=f"alive:{{{name}}}:*", count=1000), None):
            raise RedisError(f"camera '{name}' is served still ({alive.decode()}); stop that first")
        known = client.exists(*streams.camera_keys(name))
        streams.forget_camera(client, name)
        client.srem(streams.CAMERAS_KEY, name)
    except streams.FAILURE as error:
        raise streams.unreachable(error, settings.redis) from error
    print(f"{name} is forgotten" if known else f"nothing was known of {name}")


def _cameras(client: streams.Client) -> list[dict[str, Any]]:
    cameras = []
    for name in streams.registered_cameras(client):
        facts = streams.read_hash(client, streams.camera_key(name))
        alive = client.scan_iter(match=f"alive:{{{name}}}:capture:*", count=1000)
        captured = next(alive, None) is not None
        cameras.append(
            {
                "camera": name,
                "source": mask(facts.get("source", "")),
                "mode": facts.get("mode", ""),
                "state": "ended" if facts.get("ended") == "1" else
                         "captured" if captured else "not captured",
                "last_frame": streams.whole_number(facts.get("last_frame_id")),
            }
        )  # fmt: skip
    return cameras
