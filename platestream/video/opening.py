"""A file or a folder of pictures, whichever a path names."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from platestream.video.picture_folder import PictureFolder
from platestream.video.source import VideoSource


def open_file(path: str, folder_fps: float = 5.0) -> VideoSource | PictureFolder:
    """Opens a video file or a folder of pictures.

    Args:
        folder_fps: How many pictures of a folder make a second.

    Raises:
        SourceError: It is not there, cannot be read, or holds no video and no pictures.
    """
    if Path(path).is_dir():
        return PictureFolder(path, Fraction(folder_fps).limit_denominator(1000))
    return VideoSource(path)
