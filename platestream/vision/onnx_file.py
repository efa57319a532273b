"""Exported models on disk: ONNX files that say whose they are and what for.

The few fields that are looked at are read here, without any runtime: nothing is handed to a
runtime's parser before the file has said that it is ours. ONNX is one protocol-buffers message;
numbers of fields are those of onnx.proto (``ModelProto``, ``StringStringEntryProto``), the wire
format is described at https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from platestream.errors import SettingsError, WeightsError
from platestream.vision import model_file

SOURCE = "source_sha256"  # metadata: the hash of the safetensors file that was exported
PRECISION = "precision"  # metadata of a quantized network: int8
_GRAPH, _METADATA = 7, 14
_KEY, _VALUE = 1, 2
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_MAX_METADATA = 64  # entries; ours has six


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """An ONNX file that is ours: its bytes, and what it says of itself.

    Attributes:
        is_quantized: Whether its convolutions are made for int8.
    """

    content: bytes
    header: model_file.Header
    source_sha256: str
    is_quantized: bool


def load_onnx(path: Path, task: str, precision: str = "auto") -> OnnxFile:
    """Reads an exported model; nothing in the file is executed.

    Args:
        precision: In what it shall be computed; ``auto`` is as the file is made for.

    Raises:
        WeightsError: The file is missing, too large, damaged, not made by this project, or for
            another task.
        SettingsError: It is made for another precision.
    """
    model_file.check_size(path, task)
    try:
        content = path.read_bytes()
        metadata = _metadata(content)
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"'{path}' is not a whole ONNX file ({error}); {model_file.remedy(task)}"
        ) from error
    header = model_file.header(path, task, metadata)
    is_quantized = metadata.get(PRECISION) == "int8"
    if is_quantized and precision in ("fp32", "bf16"):
        raise SettingsError(f"'{path}' is quantized to int8; use precision auto or int8")
    if not is_quantized and precision == "int8":
        raise SettingsError(f"'{path}' is not quantized: 'platestream quantize {task}' does that")
    return OnnxFile(content, header, metadata.get(SOURCE, ""), is_quantized)


def _metadata(content: bytes) -> dict[str, str]:
    metadata: dict[str, str] = {}
    has_graph = False
    for number, value in _fields(memoryview(content)):
        if number == _GRAPH:
            has_graph = True
        elif number == _METADATA:
            entry = {key: bytes(text).decode() for key, text in _fields(value)}
            metadata[entry.get(_KEY, "")] = entry.get(_VALUE, "")
            if len(metadata) > _MAX_METADATA:
                raise ValueError("too much metadata")
    if not has_graph:
        raise ValueError("it holds no graph")
    return metadata


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The fields of a message: number and content; of numbers, which are not wanted, nothing."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == _VARINT:
            _, at = _varint(message, at)
            end = at
        elif kind == _LENGTH:
            length, at = _varint(message, at)
            end = at + length
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            end = at + (8 if kind == _EIGHT_BYTES else 4)
        else:
            raise ValueError(f"a field of unknown kind {kind}")
        if end > len(message):
            raise ValueError("it ends early")
        yield tag >> 3, message[at:end]
        at = end


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise ValueError("it ends early" if at >= len(message) else "a number is too long")
