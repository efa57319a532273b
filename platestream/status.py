"""The command ``status``: what Redis holds of every camera: streams, groups, lag, counters."""

from __future__ import annotations

import json
from typing import Any, cast

import redis
from rich.console import Console
from rich.table import Table

from platestream import streams
from platestream.errors import RedisError

_STREAMS = {
    "frames": streams.frames_key,
    "readings": streams.readings_key,
    "tracks": streams.tracks_key,
    "passages": streams.passages_key,
    "rendered": streams.rendered_key,
    "dead": streams.dead_key,
}


def collect(client: redis.Redis) -> list[dict[str, Any]]:
    """What is known of every camera, as plain values; sorted by name."""
    names = cast("set[bytes]", client.smembers(streams.CAMERAS_KEY))
    return [_camera(client, name.decode("utf-8", "replace")) for name in sorted(names)]


def show(url: str, *, as_json: bool) -> None:
    """Prints it.

    Raises:
        RedisError: Redis cannot be reached.
    """
    client = streams.connect(url)
    try:
        cameras = collect(client)
    except redis.RedisError as error:
        raise RedisError(f"cannot reach Redis at {url}: {error}; is it running?") from error
    if as_json:
        for camera in cameras:
            print(json.dumps(camera, ensure_ascii=False))
        return
    console = Console()
    if not cameras:
        console.print("no camera has been here yet")
    for camera in cameras:
        _print(console, camera)


def _camera(client: redis.Redis, name: str) -> dict[str, Any]:
    head = streams.last_frame_id(client, name)
    alive = sorted(
        key.decode("utf-8", "replace").split(":", 2)[2]
        for key in client.scan_iter(match=f"alive:{{{name}}}:*", count=1000)
    )
    return {
        "camera": name,
        "facts": streams.read_hash(client, streams.camera_key(name)),
        "counts": {
            key: int(value)
            for key, value in streams.read_hash(client, streams.counts_key(name)).items()
        },
        "alive": alive,
        "streams": {
            kind: _stream(client, key(name), head if kind in ("frames", "rendered") else None)
            for kind, key in _STREAMS.items()
        },
    }


def _stream(client: redis.Redis, key: str, head: int | None) -> dict[str, Any]:
    groups = {}
    for group, facts in streams.group_facts(client, key).items():
        delivered = streams.frame_id_of(facts["last-delivered-id"])
        groups[group] = {
            "consumers": int(facts["consumers"]),
            "pending": int(facts["pending"]),
            # XINFO's own lag is of Redis 7 only; where ids count frames, this is the same
            "lag": facts.get("lag") if head is None else max(0, head - delivered),
        }
    return {
        "entries": client.xlen(key),
        "bytes": client.memory_usage(key) or 0,
        "groups": groups,
    }


def _print(console: Console, camera: dict[str, Any]) -> None:
    facts = camera["facts"]
    console.print(
        f"[bold]{camera['camera']}[/bold]  {facts.get('source', '')}  {facts.get('mode', '')}  "
        f"{facts.get('width', '?')}x{facts.get('height', '?')}  rate {facts.get('rate', '?')}  "
        f"last frame {facts.get('last_frame_id', 0)}",
        soft_wrap=True,
    )
    table = Table("stream", "entries", "MiB", "group", "consumers", "pending", "lag")
    for kind, stream in camera["streams"].items():
        size = (kind, str(stream["entries"]), f"{stream['bytes'] / 2**20:.1f}")
        rows = [
            (group, *(str("" if g[k] is None else g[k]) for k in ("consumers", "pending", "lag")))
            for group, g in stream["groups"].items()
        ] or [("", "", "", "")]
        for number, row in enumerate(rows):
            table.add_row(*(size if number == 0 else ("", "", "")), *row)
    console.print(table)
    counts = ", ".join(f"{key} {value}" for key, value in sorted(camera["counts"].items()))
    console.print(f"counted: {counts or 'nothing yet'}", soft_wrap=True)
    console.print(f"alive: {', '.join(camera['alive']) or 'no service'}\n", soft_wrap=True)
