"""Unpacking pictures: what OpenCV unpacks at once, and what it takes a second look to read."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

_DAMAGED = "is damaged, or cut off: its picture cannot be unpacked"
_JPEG_END = b"\xff\xd9"
_SEQUENTIAL = (0xC0, 0xC1)  # SOF0, SOF1: from the top left to the bottom right, once
_SCAN = 0xDA
_MISSING_GREY = 128  # what libjpeg fills in for blocks that did not come
_BLOCK = np.ones((8, 8), np.uint8)
_MOST_MISSING = 0.02  # of a JPEG's pixels, if its end is not there
_WHITES = (1.0, 255.0)  # of pictures in floating point
_BEYOND = 0.1  # of white: what resizing and sharpening leave below black and above white


def unpacked(data: bytes) -> Image:
    """Unpacks a picture to HxWx3 uint8 BGR, upright as its EXIF says.

    TIFFs in floating point count from 0 (black) to 1, or to 255, whichever their samples' range
    fits; up to a tenth of that beyond is cut off, and what is not finite is black.

    A JPEG without its end is read if no more than its last lines are missing: libjpeg leaves grey
    what did not come, and at most 2% of the pixels may be. (It says so on stderr itself.) Of a
    progressive JPEG it cannot be told how much is missing, since the whole picture only becomes
    finer from scan to scan: without its end it counts as cut off.

    Raises:
        ValueError: It cannot; the message goes on after the picture's name.
    """
    said = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # the error here says it
    try:
        image = _decoded(data, cv2.IMREAD_COLOR)
        if image is None and data[:2] == b"\xff\xd8":
            image = _without_end(data)
        if image is None and data[:4] in (b"II*\0", b"MM\0*"):
            image = _of_large_samples(_decoded(data, cv2.IMREAD_UNCHANGED))
    finally:
        cv2.utils.logging.setLogLevel(said)
    if image is None:
        raise ValueError(_DAMAGED)
    return image.astype(np.uint8, copy=False)


def _decoded(data: bytes, how: int) -> npt.NDArray[np.generic] | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except cv2.error:
        return None


def _without_end(data: bytes) -> Image | None:
    """A JPEG whose end marker is missing; None if more of it is, or may be."""
    if not _comes_in_order(data):
        return None
    decoded = _decoded(data + _JPEG_END, cv2.IMREAD_COLOR)
    if decoded is None:
        return None
    image = decoded.astype(np.uint8, copy=False)
    grey = cv2.inRange(image, (_MISSING_GREY,) * 3, (_MISSING_GREY,) * 3)
    missing = cv2.morphologyEx(grey, cv2.MORPH_OPEN, _BLOCK)  # single pixels may well be so grey
    return image if np.count_nonzero(missing) <= _MOST_MISSING * missing.size else None


def _comes_in_order(data: bytes) -> bool:
    """Whether a JPEG is of one scan, grey or of three components, so that its end is its bottom."""
    components = 0
    for marker, at in jpeg_segments(data):
        if marker in _SEQUENTIAL:
            components = int.from_bytes(data[at + 9 : at + 10], "big")
        elif marker == _SCAN:
            return components in (1, 3) and data[at + 4] == components
    return False


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """The segments before a JPEG's first scan, and that scan's: marker, and where it is.

    The marker's second byte is at ``at + 1``, its length follows (ITU-T T.81, B.1.1.4).
    """
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        yield marker, at
        if marker == _SCAN:
            return
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def _of_large_samples(values: npt.NDArray[np.generic] | None) -> Image | None:
    """A picture with 32 or 64 bits a sample as HxWx3 uint8; None if it is none.

    Args:
        values: HxW, or HxWxC with grey, BGR or BGRA.

    Raises:
        ValueError: Its samples cannot be taken for brightness.
    """
    if values is None or values.dtype.itemsize < 4:
        return None
    if not np.issubdtype(values.dtype, np.floating):
        raise ValueError(f"has samples of {values.dtype}; those of whole numbers have 16 bits")
    numbers = np.asarray(values, np.float64)
    finite = np.isfinite(numbers)
    if not finite.any():
        raise ValueError("has no finite sample: there is nothing to see")
    low, high = float(numbers[finite].min()), float(numbers[finite].max())
    white = next((w for w in _WHITES if high <= (1 + _BEYOND) * w), 0.0)
    if not white or low < -_BEYOND * white:
        raise ValueError(
            f"has samples from {low:g} to {high:g}; in floating point they go from 0 to 1, or to "
            "255"
        )
    numbers = np.where(finite, numbers, 0) * (255 / white)
    shades = np.clip(np.rint(numbers), 0, 255).astype(np.uint8)
    if shades.ndim == 2 or shades.shape[2] < 3:
        grey = shades if shades.ndim == 2 else shades[:, :, 0]
        return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR).astype(np.uint8, copy=False)
    return np.ascontiguousarray(shades[:, :, :3])
