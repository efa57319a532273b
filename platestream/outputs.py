"""Where results go on disk, and whether they may go there."""

from __future__ import annotations

import os
from pathlib import Path

from platestream.errors import OutputError


def check_output(path: Path, *, force: bool) -> None:
    """Refuses a path that cannot or must not be written.

    Args:
        force: Whether a file that is there may be overwritten.

    Raises:
        OutputError: The folder is missing or may not be written, or the file is there.
    """
    folder = path.parent
    if path.is_dir():
        raise OutputError(f"'{path}' is a folder; name a file in it")
    if not folder.is_dir():
        raise OutputError(f"folder '{folder}' for '{path.name}' does not exist; make it first")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"folder '{folder}' may not be written")
    if path.exists() and not force:
        raise OutputError(f"'{path}' exists already; use --force to overwrite it")


def readings_path(video: Path) -> Path:
    """The file of JSON lines beside a video: ``gate.mp4`` has ``gate.readings.jsonl``."""
    return video.with_name(f"{video.stem}.readings.jsonl")
