"""The command ``status``: what Redis holds of every camera: streams, groups, lag, counters."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from platestream import streams
from platestream.masking import mask
from platestream.settings import RedisSettings
from platestream.stdout import print_json

_STREAMS = {
    "frames": streams.frames_key,
    "readings": streams.readings_key,
    "tracks": streams.tracks_key,
    "passages": streams.passages_key,
    "rendered": streams.rendered_key,
    "dead": streams.dead_key,
    "retry": streams.retry_key,
}
_BY_FRAME_ID = ("frames", "rendered")
_RATES = ("frames_in", "readings", "frames_written")
_TIMEOUT_S = 5.0
_LEAST_WIDTH = 80
LOOK_EVERY_S = 2.0

Camera = dict[str, Any]


def collect(client: streams.Client) -> list[Camera]:
    """What is known of every camera, as plain values; sorted by name.

    ``alive`` are its services' heartbeats as ``service:host:pid``; ``pool`` those of OCR
    replicas that serve all cameras.
    """
    alive: dict[str | None, list[str]] = {}
    for camera, service, process in streams.alive_services(client):
        alive.setdefault(camera, []).append(f"{service}:{process}")
    return [
        {**_camera(client, name), "alive": sorted(alive.get(name, [])),
         "pool": sorted(alive.get(None, []))}
        for name in streams.registered_cameras(client)
    ]  # fmt: skip


def show(address: RedisSettings, *, as_json: bool) -> None:
    """Prints it once.

    Raises:
        RedisError: Redis cannot be reached, or refuses.
    """
    client = streams.connect(address, timeout_s=_TIMEOUT_S)
    try:
        cameras = collect(client)
    except streams.FAILURE as error:
        raise streams.unreachable(error, address) from error
    if as_json:
        _print_lines(cameras)
    else:
        console = Console()
        console.width = max(console.width, _LEAST_WIDTH)  # wrapped, but no number cut off
        console.print(render(cameras))


def watch(address: RedisSettings, every_s: float, *, as_json: bool) -> None:
    """Shows it again and again, with rates, until Ctrl-C; waits for a Redis that is away."""
    client = streams.connect(address, timeout_s=_TIMEOUT_S, retries=0)
    rates = Rates()
    with _interrupted() as over, _screen(in_place=not as_json) as put:
        while not over.is_set():
            try:
                cameras = collect(client)
            except streams.FAILURE as error:
                refusal = streams.refusal(error, address)
                away = f"Redis at {address.url} does not answer ({error}); waiting for it"
                said = mask(str(refusal or away))
                if as_json:
                    print_json({"error": said})
                else:
                    put(Text(said, style="red"))
            else:
                rates.update(cameras, time.monotonic())
                if as_json:
                    _print_lines(cameras)
                else:
                    put(render(cameras))
            over.wait(every_s)


@contextlib.contextmanager
def _interrupted() -> Iterator[threading.Event]:
    """Is set by Ctrl-C: an exception instead may come where Python can only drop it."""
    over = threading.Event()
    before = signal.signal(signal.SIGINT, lambda _number, _frame: over.set())
    try:
        yield over
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _screen(*, in_place: bool) -> Iterator[Callable[[RenderableType], None]]:
    """What puts a picture in place of the one before; under it, where this is no terminal."""
    console = Console()
    if not (in_place and console.is_terminal):
        yield console.print
        return
    with Live(console=console, auto_refresh=False) as living:
        yield lambda picture: living.update(picture, refresh=True)


class Rates:
    """Counters a second between two looks."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, dict[str, int]]] = {}

    def update(self, cameras: list[Camera], now_s: float) -> None:
        """Adds ``rates`` to each camera: frames in, read and written a second.

        They are None at the first look, and where counting has begun anew.
        """
        for camera in cameras:
            counts = {name: camera["counts"].get(name, 0) for name in _RATES}
            then_s, then = self._before.get(camera["camera"], (now_s, counts))
            passed_s = now_s - then_s
            camera["rates"] = {
                name: round((counts[name] - then[name]) / passed_s, 2)
                if passed_s > 0 and counts[name] >= then[name]
                else None
                for name in _RATES
            }
            self._before[camera["camera"]] = (now_s, counts)


def render(cameras: list[Camera]) -> RenderableType:
    """What ``collect`` says, for people."""
    if not cameras:
        return Text("no camera has been here yet")
    return Group(*(part for camera in cameras for part in _render(camera)))


def _print_lines(cameras: list[Camera]) -> None:
    for camera in cameras:
        print_json(camera)


def _camera(client: streams.Client, name: str) -> Camera:
    head = streams.last_frame_id(client, name)
    heads = dict.fromkeys(_BY_FRAME_ID, head)
    facts = streams.read_hash(client, streams.camera_key(name))
    return {
        "camera": name,
        "facts": {key: mask(value) for key, value in facts.items()},
        "counts": streams.read_counts(client, name),
        "overlay_age_ms": streams.last_overlay_age_ms(client, name),
        "streams": {
            kind: _stream(streams.backlog(client, key(name), heads.get(kind)))
            for kind, key in _STREAMS.items()
        },
    }


def _stream(found: streams.StreamBacklog) -> dict[str, Any]:
    return {
        "entries": found.entries,
        "bytes": found.bytes,
        "groups": {
            name: {"consumers": group.consumers, "pending": group.pending, "lag": group.lag}
            for name, group in found.groups.items()
        },
    }


def _render(camera: Camera) -> list[RenderableType]:
    facts = camera["facts"]
    state = facts.get("state") or ("ended" if facts.get("ended") == "1" else "")
    title = Text.assemble(
        (camera["camera"], "bold"),
        f"  {facts.get('source', '')}  {facts.get('mode', '')} {state}  "
        f"{facts.get('width', '?')}x{facts.get('height', '?')}  rate {facts.get('rate', '?')}  "
        f"last frame {facts.get('last_frame_id', 0)}",
    )
    table = Table("stream", "entries", "MiB", "group", "consumers", "pending", "lag")
    for kind, stream in camera["streams"].items():
        mib = "" if stream["bytes"] is None else f"{stream['bytes'] / 2**20:.1f}"
        size = (kind, str(stream["entries"]), mib)
        rows = [
            (group, *(str("" if g[k] is None else g[k]) for k in ("consumers", "pending", "lag")))
            for group, g in stream["groups"].items()
        ] or [("", "", "", "")]
        for number, row in enumerate(rows):
            table.add_row(*(size if number == 0 else ("", "", "")), *row)
    counts = ", ".join(f"{key} {value}" for key, value in sorted(camera["counts"].items()))
    lines = [f"counted: {counts or 'nothing yet'}"]
    if "rates" in camera:
        known = [(n, r) for n, r in camera["rates"].items() if r is not None]
        lines.append("a second: " + (", ".join(f"{n} {r:.1f}" for n, r in known) or "…"))
    if camera["overlay_age_ms"] is not None:
        lines.append(f"overlay age: {camera['overlay_age_ms']} ms")
    lines.append(f"alive: {', '.join(camera['alive'] + camera['pool']) or 'no service'}\n")
    return [title, table, *(Text(line) for line in lines)]
