"""Pictures of any size, in one size."""

from __future__ import annotations

import cv2
import numpy as np

from platestream.picture import Picture, bgr, form_of


def fit(picture: Picture, width: int, height: int) -> Picture:
    """Fits a picture into a size: its sides keep their ratio, black borders fill the rest.

    Args:
        width, height: Of the picture that is returned, in pixels.

    Returns:
        The same picture if it has that size already, else BGR.
    """
    columns, rows, _ = form_of(picture)
    if (columns, rows) == (width, height):
        return picture
    image = bgr(picture)
    scale = min(width / columns, height / rows)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    fitted = np.zeros((height, width, 3), np.uint8)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    fitted[top : top + size[1], left : left + size[0]] = cv2.resize(image, size, interpolation=way)
    return fitted
