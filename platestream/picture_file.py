"""Picture files: found in folders, measured before they are unpacked, read upright."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import numpy.typing as npt

from platestream.errors import SourceError
from platestream.messages import MAX_PIXELS, MAX_SIDE
from platestream.unpacking import jpeg_segments, unpacked

Image = npt.NDArray[np.uint8]

_ENDINGS_OF = {
    "BMP": (".bmp",),
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "WebP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
}
ENDINGS = tuple(ending for endings in _ENDINGS_OF.values() for ending in endings)
KINDS = " or".join(", ".join(_ENDINGS_OF).rsplit(",", 1))
_MOST_BYTES = 256 * 2**20
_TIFF_SIDES = {256: "width", 257: "height"}  # TIFF 6.0, section 8: ImageWidth, ImageLength
_TIFF_FORMS = {3: 2, 4: 4}  # SHORT and LONG, in bytes


def is_picture(path: Path) -> bool:
    """Whether a name is a picture's, and not that of a folder or a pipe."""
    return path.suffix.lower() in ENDINGS and (path.is_file() or not path.exists())


def read_picture(path: Path, *, most_pixels: int = MAX_PIXELS, most_side: int = MAX_SIDE) -> Image:
    """Reads a picture as HxWx3 uint8 BGR: upright as its EXIF says, of a GIF the first one.

    Grey, 16-bit, float, palette and CMYK pictures are brought to that form; transparency is left
    out. Of a JPEG the end may be missing; see ``unpacking.unpacked``. Pipes and ``/dev/stdin`` are
    read to their end.

    Args:
        most_pixels, most_side: What is larger is refused; by default what a stream cannot take.

    Raises:
        SourceError: It is not there, may not be read, is too large, damaged, or no picture.
    """
    data = _bytes(path)
    if not data:
        raise SourceError(f"'{path}' is empty (0 bytes)")
    size = picture_size(data)
    if size is None:
        raise SourceError(f"'{path}' is not a picture that can be read ({KINDS})")
    if max(size) > most_side or size[0] * size[1] > most_pixels:
        raise SourceError(
            f"'{path}' is {size[0]}x{size[1]}; the limit is {most_pixels} pixels, "
            f"{most_side} a side"
        )
    try:
        return unpacked(data)
    except ValueError as error:
        raise SourceError(f"'{path}' {error}") from error


def _bytes(path: Path) -> bytes:
    """A file's content.

    Raises:
        SourceError: It is missing, may not be read, or is too large.
    """
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            raise SourceError(f"'{path}' is a folder")
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (FileNotFoundError, ValueError) as error:  # ValueError: a NUL in the name
        raise SourceError(f"no such file: '{path}'") from error
    except OSError as error:
        raise SourceError(f"cannot read '{path}': {error.strerror}") from error
    if len(data) > _MOST_BYTES:
        raise SourceError(f"'{path}' is too large; pictures have at most 256 MiB")
    return data


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels as the header says, before anything of that size is made.

    Returns:
        None if it is none of the formats that are read, or its header is not whole.
    """
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        size = _number(data, 16, 4, "big"), _number(data, 20, 4, "big")
    elif data[:2] == b"BM":
        if _number(data, 14, 4) == 12:  # OS/2's header has sides of two bytes
            size = _number(data, 18, 2), _number(data, 20, 2)
        else:
            width, height = data[18:22], data[22:26]
            size = (
                abs(int.from_bytes(width, "little", signed=True)),
                abs(int.from_bytes(height, "little", signed=True)),  # negative: top row first
            )
    elif data[:4] in (b"GIF8", b"GIF9"):
        size = _number(data, 6, 2), _number(data, 8, 2)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        size = _webp_size(data)
    elif data[:4] in (b"II*\0", b"MM\0*"):
        size = _tiff_size(data)
    elif data[:2] == b"\xff\xd8":
        size = _jpeg_size(data)
    else:
        return None
    return size if min(size) > 0 else None


def _number(data: bytes, at: int, length: int, order: str = "little") -> int:
    return int.from_bytes(data[at : at + length], "big" if order == "big" else "little")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """From the frame header (SOF), ITU-T T.81 B.2.2; 0 where it has none."""
    for marker, at in jpeg_segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return _number(data, at + 7, 2, "big"), _number(data, at + 5, 2, "big")
    return 0, 0


def _webp_size(data: bytes) -> tuple[int, int]:
    """From the first chunk: RFC 6386 9.1 (VP8), RFC 9649 2.7 and 3.4 (VP8X, VP8L)."""
    kind = data[12:16]
    if kind == b"VP8X":
        return _number(data, 24, 3) + 1, _number(data, 27, 3) + 1
    if kind == b"VP8L":
        bits = _number(data, 21, 4)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return _number(data, 26, 2) & 0x3FFF, _number(data, 28, 2) & 0x3FFF
    return 0, 0


def _tiff_size(data: bytes) -> tuple[int, int]:
    """From the first directory, TIFF 6.0 section 2; 0 where it does not say."""
    order = "big" if data[:2] == b"MM" else "little"
    at = _number(data, 4, 4, order)
    found = {"width": 0, "height": 0}
    for entry in range(_number(data, at, 2, order)):
        begin = at + 2 + 12 * entry
        side = _TIFF_SIDES.get(_number(data, begin, 2, order))
        form = _TIFF_FORMS.get(_number(data, begin + 2, 2, order))
        if side and form:
            found[side] = _number(data, begin + 8, form, order)
    return found["width"], found["height"]
