"""A folder of pictures as a video."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from platestream.errors import SourceError
from platestream.picture import Image
from platestream.picture_file import ENDINGS, is_picture, read_picture
from platestream.video.source import SourceFrame


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
            files = [p for p in Path(folder).iterdir() if is_picture(p)]
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
    try:
        return read_picture(path)
    except SourceError:
        return None
