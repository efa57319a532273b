"""Pictures without plates: the parts of street photographs that lie away from their boxes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

_LONG_SIDE = 640
_LEAST_HEIGHT = 96
_MARGIN = 0.02  # of the height; boxes are not always tight


def plate_free(root: Path, left_out: Iterable[str], limit: int, seed: int) -> list[Image]:
    """Cuts the part above all plates, or below them, out of street photographs.

    Args:
        root: A folder with ``images`` and ``labels`` (YOLO text: class, centre, size; relative).
        left_out: File names kept for judging.

    Returns:
        HxWx3 uint8 BGR pictures, none wider than 640 px.
    """
    files = sorted({f.name for f in (root / "images").glob("*.jpg")} - set(left_out))
    order = np.random.default_rng(seed).permutation(len(files))[:limit]
    grounds = []
    for index in order:
        path = root / "images" / files[index]
        image = cv2.imread(str(path))
        if image is None:
            continue
        scale = _LONG_SIDE / max(image.shape[:2])
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        text = (root / "labels" / f"{path.stem}.txt").read_text()
        boxes = [[float(v) for v in line.split()] for line in text.splitlines() if line.strip()]
        height = image.shape[0]
        top = min((y - h / 2 for _, _, y, _, h in boxes), default=1.0) - _MARGIN
        bottom = max((y + h / 2 for _, _, y, _, h in boxes), default=0.0) + _MARGIN
        above, below = image[: max(0, int(top * height))], image[int(bottom * height) :]
        part = above if above.shape[0] >= below.shape[0] else below
        if part.shape[0] >= _LEAST_HEIGHT:
            grounds.append(part.astype(np.uint8))
    return grounds
