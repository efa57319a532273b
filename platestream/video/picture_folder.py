"""A folder of pictures as a video."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from platestream.errors import SourceError
from platestream.messages import MAX_PIXELS, MAX_SIDE
from platestream.video.source import Image, SourceFrame

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp")
_MOST_BYTES = 256 * 2**20


class PictureFolder:
    """Pictures in the order of their names, numbers counted as such: ``img2`` before ``img10``.

    Attributes:
        width, height: Of the first picture that can be read, in pixels.
        rate: Pictures per second.
        promised: How many picture files there are.
    """

    def __init__(self, folder: str, rate: Fraction) -> None:
        """Lists the pictures and reads the first.

        Raises:
            SourceError: The folder holds no picture that can be read.
        """
        self.source = folder
        self.rate = rate
        try:
            files = [p for p in Path(folder).iterdir() if p.suffix.lower() in ENDINGS]
        except OSError as error:
            raise SourceError(f"folder '{folder}' cannot be read: {error.strerror}") from error
        self._files = sorted((p for p in files if p.is_file()), key=_natural)
        self.promised = len(self._files)
        self._unreadable: list[str] = []
        if not self._files:
            raise SourceError(f"folder '{folder}' holds no pictures ({', '.join(ENDINGS)})")
        first = next((image for path in self._files if (image := _read(path)) is not None), None)
        if first is None:
            raise SourceError(f"none of the {self.promised} pictures in '{folder}' can be read")
        self.height, self.width = first.shape[:2]

    def frames(self, skip: int = 0) -> Iterator[SourceFrame]:
        """The pictures, each in its own size; those that cannot be read are passed over.

        Args:
            skip: Leaves out so many at the beginning; their times still count.
        """
        self._unreadable = []
        index = 0
        for path in self._files:
            image = _read(path)
            if image is None:
                self._unreadable.append(path.name)
                continue
            if index >= skip:
                yield SourceFrame(image, float(index / self.rate))
            index += 1

    def complaints(self, frames: int) -> list[str]:
        """What was not as it should be, in words, after ``frames`` frames have been taken."""
        if not self._unreadable:
            return []
        return [
            f"{len(self._unreadable)} of {self.promised} pictures could not be read and were "
            f"passed over, '{self._unreadable[0]}' the first"
        ]

    def close(self) -> None:
        """There is nothing to let go of."""

    def __enter__(self) -> PictureFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _natural(path: Path) -> list[tuple[int, int, str]]:
    parts = re.findall(r"\d+|\D+", path.name.lower())
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts] + [(2, 0, path.name)]


def _read(path: Path) -> Image | None:
    """A picture, HxWx3 uint8 BGR, upright; None where it cannot be read."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            return None
        data = path.read_bytes()
    except OSError:
        return None
    size = _size(data)
    if size is None or max(size) > MAX_SIDE or size[0] * size[1] > MAX_PIXELS:
        return None
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if image is None else image.astype(np.uint8, copy=False)


def _size(data: bytes) -> tuple[int, int] | None:
    """Width and height as the header says, before anything of that size is made."""
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data[:2] == b"BM":
        width = int.from_bytes(data[18:22], "little", signed=True)
        height = int.from_bytes(data[22:26], "little", signed=True)  # negative: top row first
        return abs(width), abs(height)
    return _jpeg_size(data)


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """From the frame header (SOF), ITU-T T.81 B.2.2; None where it has none."""
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xFF:  # a fill byte
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = data[at + 5 : at + 7], data[at + 7 : at + 9]
            return int.from_bytes(width, "big"), int.from_bytes(height, "big")
        else:
            at += 2 + length
    return None
