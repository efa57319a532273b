"""Draws a reading on a frame: corners, text, confidence and age; text outside the plate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import cv2
import numpy as np

from platestream.messages import Plate
from platestream.picture import Box, Image, Picture, form_of, patch

ACCEPTED = (80, 220, 60)  # BGR
DOUBTFUL = (40, 180, 255)
_INK = (255, 255, 255)
_PANEL = 24  # grey, of which so much covers what is behind it:
_COVER = 0.8
_FONT = cv2.FONT_HERSHEY_DUPLEX
_AGE_SHOWN_MS = 100  # younger, nothing can be seen of it
_FADES_FROM = 0.5  # of the age at which a reading is stale
_FAINTEST = 0.2
_REFERENCE_HEIGHT = 720  # pixels; line widths and letters are made for it and scale from there


def opacity(age_ms: int, stale_after_ms: int) -> float:
    """How strongly a reading is drawn: less and less from half the age at which it is stale.

    Returns:
        1 down to 0.2.
    """
    if stale_after_ms <= 0:
        return 1.0
    late = (age_ms / stale_after_ms - _FADES_FROM) / (1 - _FADES_FROM)
    return 1 - (1 - _FAINTEST) * min(1.0, max(0.0, late))


def draw(picture: Picture, plates: Sequence[Plate], age_ms: int, strength: float = 1.0) -> None:
    """Draws plates with their texts, in place.

    A label stands above its plate, or below, or beside it, wherever it covers neither a plate
    nor another label and stays inside the picture; white on a dark panel, it can be read on any
    background. From an age of 100 ms it says how old it is.

    Args:
        picture: Of any size.
        plates: Corners in the picture's pixels.
        age_ms: How old the reading is.
        strength: 1 hides what is behind the lines, 0 draws nothing (``opacity``).
    """
    width, height, _ = form_of(picture)
    scale = max(0.45, height / _REFERENCE_HEIGHT)
    taken = [_box(plate) for plate in plates]
    for plate in plates:
        colour = ACCEPTED if plate.accepted else DOUBTFUL
        corners = np.asarray(plate.corners, np.float64)
        corners = np.clip(corners, -2 * width, 3 * width)
        x1, y1, x2, y2 = _box(plate)
        line = max(1, min(round(2 * scale), (y2 - y1) // 8))  # of a far plate something must show
        edge = (x1 - line, y1 - line, x2 + line + 2, y2 + line + 2)
        with _faded(picture, edge, strength) as (image, left, top):
            if image.size:
                points = np.rint((corners - (left, top)) * 8).astype(np.int32)
                cv2.polylines(image, [points], True, colour, line, cv2.LINE_AA, shift=3)
        if plate.text.strip("?"):  # a row of question marks tells nobody anything
            words = _words(plate, age_ms)
            taken.append(_draw_label(picture, _box(plate), words, colour, scale, taken, strength))


@contextmanager
def _faded(picture: Picture, box: Box, strength: float) -> Iterator[tuple[Image, int, int]]:
    """A part of a picture to draw on (``patch``); what is drawn becomes as strong as that."""
    with patch(picture, box) as (image, left, top):
        before = image.copy() if strength < 1 else image
        yield image, left, top
        if strength < 1 and image.size:
            cv2.addWeighted(image, strength, before, 1 - strength, 0, dst=image)


def _words(plate: Plate, age_ms: int) -> tuple[str, str]:
    age = f"  {age_ms} ms" if age_ms >= _AGE_SHOWN_MS else ""
    return plate.text, f"{100 * plate.confidence:.0f}%{age}"


def _box(plate: Plate) -> Box:
    xs = [x for x, _ in plate.corners]
    ys = [y for _, y in plate.corners]
    return int(min(xs)), int(min(ys)), int(max(xs)), int(max(ys))


def _draw_label(
    picture: Picture,
    plate: Box,
    words: tuple[str, str],
    colour: tuple[int, int, int],
    scale: float,
    taken: Sequence[Box],
    strength: float,
) -> Box:
    width, height, _ = form_of(picture)
    pad = max(2, round(5 * scale))
    sizes = (0.85 * scale, 0.5 * scale)
    extents = [_extent(word, size) for word, size in zip(words, sizes, strict=True)]
    label_width = extents[0][0] + extents[1][0] + 3 * pad
    shrink = min(1.0, (width - 2) / label_width)
    if shrink < 1.0:
        sizes = (sizes[0] * shrink, sizes[1] * shrink)
        pad = max(1, int(pad * shrink))
        extents = [_extent(word, size) for word, size in zip(words, sizes, strict=True)]
        label_width = min(width, extents[0][0] + extents[1][0] + 3 * pad)
    label_height = min(height, extents[0][1] + 2 * pad)

    left, top = _place(plate, label_width, label_height, (width, height), pad, taken)
    box = (left, top, left + label_width, top + label_height)
    with _faded(picture, box, strength) as (image, column, row):
        x, y, bottom = left - column, top - row, box[3] - row
        panel = image[y:bottom, x : x + label_width]
        cv2.convertScaleAbs(panel, dst=panel, alpha=1 - _COVER, beta=_COVER * _PANEL)
        bar = max(1, round(3 * scale))
        cv2.rectangle(image, (x, y), (x + bar - 1, bottom - 1), colour, cv2.FILLED)
        base = bottom - pad - 1
        thick = max(1, round(1.4 * scale))
        thin = max(1, thick - 1)
        x += pad + bar // 2
        cv2.putText(image, words[0], (x, base), _FONT, sizes[0], _INK, thick, cv2.LINE_AA)
        x += extents[0][0] + pad
        cv2.putText(image, words[1], (x, base), _FONT, sizes[1], colour, thin, cv2.LINE_AA)
    return box


def _extent(word: str, size: float) -> tuple[int, int]:
    (width, height), _ = cv2.getTextSize(word, _FONT, size, 1)
    return int(width) + 2, int(height) + 1


def _place(
    plate: Box, width: int, height: int, picture: tuple[int, int], gap: int, taken: Sequence[Box]
) -> tuple[int, int]:
    """The label's top left: the first place that is free and inside; else the least covered."""
    x1, y1, x2, y2 = plate
    middle = (x1 + x2 - width) // 2
    wishes = [
        (middle, y1 - gap - height),
        (middle, y2 + gap),
        (x2 + gap, (y1 + y2 - height) // 2),
        (x1 - gap - width, (y1 + y2 - height) // 2),
        (middle, y1 - 2 * gap - 2 * height),
        (middle, y2 + 2 * gap + height),
    ]
    best, least = (0, 0), float("inf")
    for x, y in wishes:
        left = min(max(x, 0), max(0, picture[0] - width))
        top = min(max(y, 0), max(0, picture[1] - height))
        covered = sum(_overlap((left, top, left + width, top + height), box) for box in taken)
        if covered < least:
            best, least = (left, top), covered
        if covered == 0:
            break
    return best


def _overlap(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return float(max(0, width) * max(0, height))
