"""Formats that come with weights, from files that may be anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from platestream import plates
from platestream.errors import WeightsError
from platestream.vision import model_file, plate_formats
from platestream.vision.model_file import default_path
from platestream.vision.safetensors_file import read_header

TOML = """
alphabet = "0123456789F"
[countries.xy]
letters = "F"
[[countries.xy.formats]]
name = "xy-1"
pattern = "L00"
aspect = 4
"""


def written(path: Path, config: dict[str, Any]) -> Path:
    """The beginning of a safetensors file; there is no more to it."""
    said = {"__metadata__": model_file.describe("recognizer", "plate-line", config)}
    text = json.dumps(said).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    return path


def test_the_weights_formats_count_unless_a_file_is_named(tmp_path: Path) -> None:
    own = plates.parse(TOML, "own.toml")
    weights = written(tmp_path / "w.safetensors", {"formats": own.values()})
    assert plate_formats.choose(weights, None).format_of("F12") == "xy-1"
    other = tmp_path / "other.toml"
    other.write_text(TOML.replace("xy", "zz"))
    assert plate_formats.choose(weights, other).format_of("F12") == "zz-1"
    assert plate_formats.choose(None, other).format_of("F12") == "zz-1"
    plain = written(tmp_path / "plain.safetensors", {})
    assert plate_formats.choose(plain, None) is plates.shipped()


def test_the_shipped_files_headers_are_read_without_a_runtime() -> None:
    header = read_header(default_path("recognizer", ".safetensors"), "recognizer")
    assert header.config["alphabet"].startswith(plates.alphabet())
    with pytest.raises(WeightsError, match="holds detector weights"):
        read_header(default_path("detector", ".safetensors"), "recognizer")


@pytest.mark.parametrize("formats", [5, {}, {"alphabet": "A", "countries": {"xy": {}}}, [[[]]]])
def test_formats_that_make_no_sense(tmp_path: Path, formats: object) -> None:
    weights = written(tmp_path / "w.safetensors", {"formats": formats})
    with pytest.raises(WeightsError, match=r"formats of '.*w\.safetensors'"):
        plate_formats.choose(weights, None)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x05",
        (2**40).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (2).to_bytes(8, "little") + b"{x",
        (20).to_bytes(8, "little") + b'{"__metadata__": 57}',
        (27).to_bytes(8, "little") + b'{"__metadata__": {"a": 57}}',
        (2**19).to_bytes(8, "little") + b"[" * 2**19,
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"w\.safetensors' is not a whole safetensors file"):
        plate_formats.choose(path, None)
