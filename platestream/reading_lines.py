"""``readings.jsonl``: a line of JSON for every frame of a video."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from platestream.messages import RenderedFrame


def reading_line(frame: RenderedFrame) -> str:
    """A frame's line, newline included; corners in pixels, ages in ms."""
    plates = [
        {
            "corners": [[round(x, 1), round(y, 1)] for x, y in plate.corners],
            "score": round(plate.score, 4),
            "text": plate.text,
            "confidence": round(plate.confidence, 4),
            "accepted": plate.accepted,
            **({} if plate.track is None else {"track": plate.track}),
            "format": plate.format or None,
        }
        for plate in frame.plates
    ]
    line = json.dumps(
        {
            "frame_id": frame.frame_id,
            "pts_s": round(frame.pts_s, 6),
            "reading_frame_id": frame.reading_frame_id,
            "overlay_age_ms": frame.overlay_age_ms,
            "plates": plates,
        },
        ensure_ascii=False,
    )
    return line + "\n"


def overlay_ages(path: Path) -> Iterator[int | None]:
    """The overlay age of each whole line of a file, in ms; None where no reading was drawn."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not line.endswith("\n"):
                return
            age_ms = json.loads(line)["overlay_age_ms"]
            yield None if age_ms is None else int(age_ms)
