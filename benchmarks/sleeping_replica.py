"""An OCR replica whose model sleeps instead of computing, for ``scaling`` and ``fairness``.

``python -m benchmarks.sleeping_replica URL SECONDS SETTING=VALUE…``
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from platestream import runtime, settings
from platestream.picture import Image
from platestream.vision.reader import PlateReader, ReadPlate
from services.ocr import service


class SleepingReader:
    """Takes its time for each picture, and finds no plates."""

    alphabet = ""
    takes_planes = False

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def read(self, images: Sequence[Image], near: object) -> list[list[ReadPlate]]:
        time.sleep(self._seconds * len(images))
        return [[] for _ in images]


def main() -> int:
    url, seconds, *assignments = sys.argv[1:]
    reader = SleepingReader(float(seconds))
    PlateReader.load = lambda **_: reader  # type: ignore[method-assign, assignment]
    loaded = settings.load({"redis.url": url, "log.level": "error"}, tuple(assignments))
    return runtime.serve("ocr", loaded, service.Ocr().run, cameras=loaded.ocr.cameras)


if __name__ == "__main__":
    sys.exit(main())
