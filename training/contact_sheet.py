"""Contact sheets: training samples side by side, for a person to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from platestream.errors import OutputError

Image = npt.NDArray[np.uint8]


def write_sheet(
    path: Path, pictures: Sequence[Image], captions: Sequence[str], *, columns: int = 6
) -> None:
    """Writes pictures with captions as one PNG or JPEG.

    Args:
        pictures: HxWx3 uint8 BGR, all of one size.

    Raises:
        OutputError: It cannot be written.
    """
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise OutputError(f"'{path}' ends in neither .png nor .jpg")
    cells = []
    for picture, caption in zip(pictures, captions, strict=True):
        strip = np.full((18, picture.shape[1], 3), 40, np.uint8)
        cv2.putText(strip, caption, (3, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1,
                    cv2.LINE_AA)  # fmt: skip
        cells.append(np.vstack([picture, strip]))
    while len(cells) % columns:
        cells.append(np.zeros_like(cells[0]))
    rows = [np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)]
    done, data = cv2.imencode(path.suffix, np.vstack(rows))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes() if done else b"")
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror}") from error


def unnormalize(image: npt.NDArray[np.float32]) -> Image:
    """A network's input (zero mean, unit variance) as a grey picture with three channels."""
    grey = np.clip(image * 50 + 128, 0, 255).astype(np.uint8)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR).astype(np.uint8)
