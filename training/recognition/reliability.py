"""How far confidences can be believed: calibration error and diagram, risk and coverage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from platestream.errors import OutputError
from training.intervals import share, wilson

BINS = 10
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97, 0.98, 0.99)

_SIDE, _MARGIN, _COUNTS = 480, 70, 90  # pixels: the plot, its surroundings, the strip of counts
_INK, _GRID, _BAR, _GAP = (40, 40, 40), (215, 215, 215), (190, 130, 60), (90, 90, 220)  # BGR
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def reliability(
    confidences: Sequence[float], right: Sequence[bool], count: int = BINS
) -> list[dict[str, Any]]:
    """Readings by confidence, in bins of equal width: how sure they are and how many are right.

    Returns:
        For each bin that is not empty: ``from``, ``to``, ``of``, mean ``confidence``, ``right``
        and its 95% interval.
    """
    values, hits = np.asarray(confidences, np.float64), np.asarray(right, bool)
    places = np.minimum((values * count).astype(int), count - 1)
    rows = []
    for place in range(count):
        inside = places == place
        total, good = int(inside.sum()), int(hits[inside].sum())
        if total:
            rows.append(
                {
                    "from": place / count,
                    "to": (place + 1) / count,
                    "of": total,
                    "confidence": round(float(values[inside].mean()), 4),
                    "right": round(good / total, 4),
                    "interval_95": [round(end, 4) for end in wilson(good, total)],
                }
            )
    return rows


def expected_calibration_error(
    confidences: Sequence[float], right: Sequence[bool], count: int = BINS
) -> float | None:
    """Mean gap between confidence and share of right ones over bins of equal width.

    Guo et al. 2017 (arXiv:1706.04599), equation 3. None where there is nothing to judge.
    """
    if not len(confidences):
        return None
    values, hits = np.asarray(confidences, np.float64), np.asarray(right, bool)
    places = np.minimum((values * count).astype(int), count - 1)
    gaps = np.bincount(places, values - hits, count)
    return float(np.abs(gaps).sum() / len(values))


def risk_coverage(
    confidences: Sequence[float],
    right: Sequence[bool],
    of: int,
    thresholds: Sequence[float] = THRESHOLDS,
) -> list[dict[str, Any]]:
    """What each threshold accepts, and how much of that is right.

    Args:
        confidences: Of the readings that may be accepted: those of a plate format.
        right: Whether each is the truth.
        of: How many plates there are, those without such a reading included.
    """
    values, hits = np.asarray(confidences, np.float64), np.asarray(right, bool)
    return [
        {
            "threshold": threshold,
            "accepted": share(int((values >= threshold).sum()), of),
            "right": share(int(hits[values >= threshold].sum()), int((values >= threshold).sum())),
        }
        for threshold in thresholds
    ]


def draw_diagram(path: Path, panels: Sequence[tuple[str, list[dict[str, Any]]]]) -> None:
    """Draws reliability diagrams side by side, as a PNG.

    A bar is the share of right readings of a bin, with its 95% interval; the diagonal is where
    confidence and share agree; below, how many readings the bin has.

    Args:
        panels: Titles and what ``reliability`` gave.

    Raises:
        OutputError: The file cannot be written.
    """
    picture = np.hstack([_panel(title, rows) for title, rows in panels])
    done, data = cv2.imencode(".png", picture)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes() if done else b"")
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror}") from error


def _panel(title: str, rows: list[dict[str, Any]]) -> npt.NDArray[np.uint8]:
    height = _SIDE + 2 * _MARGIN + _COUNTS
    canvas = np.full((height, _SIDE + 2 * _MARGIN, 3), 255, np.uint8)

    def at(x: float, y: float) -> tuple[int, int]:
        return round(_MARGIN + x * _SIDE), round(_MARGIN + (1 - y) * _SIDE)

    for step in range(11):
        mark = step / 10
        cv2.line(canvas, at(mark, 0), at(mark, 1), _GRID, 1)
        cv2.line(canvas, at(0, mark), at(1, mark), _GRID, 1)
        if step % 2 == 0:
            _write(canvas, f"{mark:.1f}", (at(mark, 0)[0] - 12, at(0, 0)[1] + 20))
            _write(canvas, f"{mark:.1f}", (_MARGIN - 36, at(0, mark)[1] + 5))
    most = max((row["of"] for row in rows), default=1)
    floor = height - 24
    for row in rows:
        left, right = at(row["from"], 0)[0] + 3, at(row["to"], 0)[0] - 3
        cv2.rectangle(canvas, (left, at(0, row["right"])[1]), (right, at(0, 0)[1]), _BAR, -1)
        middle = (left + right) // 2
        low, high = (at(0, end)[1] for end in row["interval_95"])
        cv2.line(canvas, (middle, low), (middle, high), _INK, 1, cv2.LINE_AA)
        cv2.circle(canvas, at(row["confidence"], row["right"]), 5, _GAP, -1, cv2.LINE_AA)
        top = floor - max(1, round((_COUNTS - 44) * row["of"] / most))
        cv2.rectangle(canvas, (left, top), (right, floor), _GRID, -1)
        _write(canvas, str(row["of"]), (left, top - 4), 0.38)
    cv2.line(canvas, at(0, 0), at(1, 1), _INK, 1, cv2.LINE_AA)
    cv2.rectangle(canvas, at(0, 1), at(1, 0), _INK, 1)
    _write(canvas, title, (_MARGIN, 34), 0.6)
    _write(canvas, "share of readings that are right, by confidence", (_MARGIN, 56), 0.42)
    return canvas


def _write(
    canvas: npt.NDArray[np.uint8], text: str, place: tuple[int, int], size: float = 0.42
) -> None:
    cv2.putText(canvas, text, place, _FONT, size, _INK, 1, cv2.LINE_AA)
