"""``cameras.toml``: the cameras of an installation, and what each of them has of its own.

::

    [cameras.gate-1]
    source = "rtsp://192.0.2.11/stream"

    [cameras.gate-1.capture]
    rtsp_transport = "udp"
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from platestream.errors import SettingsError
from platestream.messages import CameraName
from platestream.setting_faults import NAME_RULE, sentence, unknown
from platestream.settings import Settings, StreamSettings, WriterSettings

MAX_BYTES = 2**20
MAX_CAMERAS = 1000
MAX_SOURCE = 4096  # characters

_SECTIONS = ("streams", "capture", "track", "visualize", "writer")  # a camera may have its own
_PLACED_ELSEWHERE = {"capture.source": "it is the camera's own 'source'"}
_NAME: TypeAdapter[str] = TypeAdapter(CameraName)


class CamerasFileError(SettingsError):
    """A file of cameras cannot be used.

    Attributes:
        problems: A sentence for everything that is wrong, each naming the file; never empty.
    """

    def __init__(self, problems: list[str]) -> None:
        more = ""
        if len(problems) > 1:
            more = f" ({len(problems) - 1} more: see them with `platestream cameras check`)"
        super().__init__(problems[0] + more)
        self.problems = problems


@dataclass(frozen=True)
class CameraEntry:
    """A camera as the file has it.

    Attributes:
        settings: What it has of its own, by dotted name (``writer.crf``), over the settings of
            all cameras.
    """

    name: str
    source: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def own_settings(self, service: str) -> dict[str, Any]:
        """What a service's process for this camera is to have, over the settings of all."""
        own = {
            name: value
            for name, value in self.settings.items()
            if name.split(".", 1)[0] in ("streams", service)
        }
        return own | ({"capture.source": self.source} if service == "capture" else {})


def setting_variables(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings by dotted name as the environment variables that set them.

    A process gets them so, and not as arguments: a source may hold a password, and everyone on a
    machine can see arguments.
    """
    return {
        "PLATESTREAM_" + name.upper().replace(".", "__"): _as_text(value)
        for name, value in settings.items()
    }


def read(path: Path) -> dict[str, CameraEntry]:
    """Reads a file of cameras.

    Raises:
        CamerasFileError: It is not there, cannot be read, or says something wrong.
    """
    return parse(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """The file as it is on disk.

    Raises:
        CamerasFileError: It is not there, cannot be read, or has more than ``MAX_BYTES``.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise CamerasFileError([f"no such file of cameras: '{path}'"]) from error
    except OSError as error:
        raise CamerasFileError([f"cannot read '{path}': {error.strerror}"]) from error
    if len(data) > MAX_BYTES:
        raise CamerasFileError([f"'{path}' has more than {MAX_BYTES} bytes; is it a cameras file?"])
    return data


def parse(data: bytes, path: Path) -> dict[str, CameraEntry]:
    """The cameras of a file's text, by name, in its order.

    Args:
        path: Where it comes from, for messages.

    Raises:
        CamerasFileError: It is no TOML (the line is named), has no camera, an unknown key, or a
            value out of range.
    """
    try:
        tree = tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CamerasFileError([f"'{path}' is not UTF-8 text (at line {line})"]) from error
    except tomllib.TOMLDecodeError as error:
        raise CamerasFileError([f"'{path}' is not valid TOML: {error}"]) from error
    except RecursionError as error:
        raise CamerasFileError([f"'{path}' is nested too deeply"]) from error
    problems = [f"'{path}': {unknown(key, ('cameras',))}" for key in tree if key != "cameras"]
    table = tree.get("cameras")
    if not table or not isinstance(table, dict):
        hint = 'write [cameras.gate-1] and, below it, source = "rtsp://…"'
        raise CamerasFileError([*problems, f"'{path}' has no camera; {hint}"])
    if len(table) > MAX_CAMERAS:
        problems.append(f"'{path}' has {len(table)} cameras; the limit is {MAX_CAMERAS}")
        raise CamerasFileError(problems)
    cameras: dict[str, CameraEntry] = {}
    names: dict[str, str] = {}
    for name, body in table.items():
        entry, wrong = _entry(name, body)
        same = names.setdefault(name.lower(), name)
        if same != name:
            wrong.append(f"differs from camera '{same}' in nothing but its capitals")
        problems += [f"'{path}': camera '{name}': {what}" for what in wrong]
        if entry is not None:
            cameras[name] = entry
    if problems:
        raise CamerasFileError(problems)
    return cameras


def check_outputs(cameras: Mapping[str, CameraEntry], settings: WriterSettings, path: Path) -> None:
    """Makes sure that no two cameras write into one file.

    Args:
        settings: The writer's, of all cameras.

    Raises:
        CamerasFileError: Two would.
    """
    for key in ("writer.output", "writer.readings"):
        taken: dict[str, str] = {}
        for name, entry in cameras.items():
            template = str(entry.settings.get(key, getattr(settings, key.split(".")[1])))
            if not template or "{camera}" in template:
                continue
            other = taken.setdefault(template, name)
            if other != name:
                raise CamerasFileError(
                    [f"'{path}': cameras '{other}' and '{name}' would both write '{template}'; "
                     f"put {{camera}} into {key}"]
                )  # fmt: skip


def check_budgets(cameras: Mapping[str, CameraEntry], settings: StreamSettings, path: Path) -> None:
    """Makes sure that what cameras set of their own goes with what all have.

    Args:
        settings: Of all cameras.

    Raises:
        CamerasFileError: A camera's streams are to have more than the camera.
    """
    problems = []
    for name, entry in cameras.items():
        own = {
            key.removeprefix("streams."): value
            for key, value in entry.settings.items()
            if key.startswith("streams.")
        }
        try:
            _ = StreamSettings.model_validate(settings.model_dump() | own).shares
        except ValueError as error:
            problems.append(f"'{path}': camera '{name}': {error}")
    if problems:
        raise CamerasFileError(problems)


def _entry(name: str, body: Any) -> tuple[CameraEntry | None, list[str]]:
    """A camera, and what is wrong with it."""
    problems = []
    try:
        _NAME.validate_python(name)
    except ValidationError:
        problems.append(NAME_RULE)
    if not isinstance(body, dict):
        return None, [*problems, f'is no table; write [cameras.{name}] and source = "…" below it']
    settings: dict[str, Any] = {}
    for key, value in body.items():
        if key == "source":
            continue
        if key not in _SECTIONS:
            problems.append(_unknown_in_camera(name, key, value))
        elif not isinstance(value, dict):
            problems.append(f"'{key}' is a section; write [cameras.{name}.{key}]")
        else:
            problems += _section_problems(key, value)
            settings |= {f"{key}.{leaf}": setting for leaf, setting in value.items()}
    source = body.get("source")
    if "source" not in body:
        problems.append("has no 'source': a file, an rtsp:// or http:// URL, or a device")
    elif not isinstance(source, str) or not source.strip():
        problems.append("'source' is empty; name a file, a URL or a device")
    elif len(source) > MAX_SOURCE or not source.isprintable():
        problems.append(f"'source' is no file, URL or device ({len(source)} characters)")
    if problems:
        return None, problems
    return CameraEntry(name, str(source), settings), []


def _section_problems(section: str, values: dict[str, Any]) -> list[str]:
    model = Settings.model_fields[section].annotation
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    problems = []
    for key in values:
        dotted = f"{section}.{key}"
        if dotted in _PLACED_ELSEWHERE:
            problems.append(f"'{dotted}' cannot be set there: {_PLACED_ELSEWHERE[dotted]}")
        elif key not in model.model_fields:
            problems.append(unknown(dotted, (f"{section}.{name}" for name in model.model_fields)))
    if problems:
        return problems
    try:
        model.model_validate(values)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            where = ".".join([section, *(str(part) for part in fault["loc"])])
            problems.append(sentence(where, fault, ()))
    return problems


def _unknown_in_camera(name: str, key: str, value: Any) -> str:
    if key in Settings.model_fields and key != "camera":
        return f"'{key}' is the same for all cameras; set it in platestream.toml"
    if isinstance(value, dict) and "source" in value:
        return f"'{key}' is unknown; a name with a dot is written [cameras.\"{name}.{key}\"]"
    sections = [
        section
        for section in _SECTIONS
        if key in getattr(Settings.model_fields[section].annotation, "model_fields", {})
    ]
    if sections:
        return f"'{key}' belongs under [cameras.{name}.{sections[0]}]"
    return unknown(key, ("source", *_SECTIONS))


def _as_text(value: Any) -> str:
    """A value as an environment variable has it."""
    return str(value) if isinstance(value, str | Path) else json.dumps(value, default=str)
