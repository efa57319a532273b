"""Folders of drawn plate crops with their texts, for trying things out where no real ones are."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from platestream.errors import OutputError
from platestream.plates import PlateFormat
from training.synthesis.country import check_shapes, country_crop
from training.synthesis.crop import plate_crop

_QUALITY = 92  # of the JPEG files; what a camera's compression does is done before


def draw(folder: Path, forms: Sequence[PlateFormat] | None, count: int, seed: int) -> None:
    """Writes crops as JPEG files, and ``labels.csv`` with columns ``file,text``.

    Args:
        folder: Is made if it is not there.
        forms: Drawn in turn; None: Russian plates of all types, as often as training sees them.

    Raises:
        DataError: A character of a format has no shape.
        OutputError: The folder cannot be written.
    """
    for form in forms or ():
        check_shapes(form)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["file", "text"])
            for number in range(count):
                rng = np.random.default_rng((seed, number))
                crop = country_crop(forms[number % len(forms)], rng) if forms else plate_crop(rng)
                name = f"{number:05d}.jpg"
                _, data = cv2.imencode(".jpg", crop.image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
                (folder / name).write_bytes(data.tobytes())
                writer.writerow([name, crop.text])
    except OSError as error:
        raise OutputError(f"cannot write '{folder}': {error.strerror}") from error
