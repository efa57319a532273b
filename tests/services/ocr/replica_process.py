"""An OCR replica as a process of its own, whose reader does what a test wants of it.

``python -m tests.services.ocr.replica_process URL READER SETTING=VALUE…``, READER as JSON:
``delay_s`` for every batch, ``kills``, ``fails`` and ``breaks``: numbers of pictures
(``numbered_picture``) that end the process, that the reader raises on, or after which it raises
on everything.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence

import numpy as np

from platestream import runtime, settings
from platestream.vision.reader import PlateReader, ReadPlate
from services.ocr import service
from tests.numbered import number_of


class NumberReader:
    """Reads the numbers of pictures, finds no plates."""

    alphabet = "AB"
    takes_planes = False

    def __init__(
        self,
        delay_s: float = 0.0,
        kills: Sequence[int] = (),
        fails: Sequence[int] = (),
        breaks: Sequence[int] = (),
    ) -> None:
        self._delay_s = delay_s
        self._kills = set(kills)
        self._fails = set(fails)
        self._breaks = set(breaks)
        self._is_broken = False

    def read(self, images: Sequence[np.ndarray], near: object) -> list[list[ReadPlate]]:
        numbers = [int(number_of(image)) for image in images]
        time.sleep(self._delay_s)
        if self._kills & set(numbers):
            os._exit(139)  # as a segmentation fault would: no exception, nothing cleaned up
        self._is_broken = self._is_broken or bool(self._breaks & set(numbers))
        self.probe()
        if self._fails & set(numbers):
            raise ValueError(f"a strange picture among {numbers}")
        return [[] for _ in images]

    def probe(self) -> None:
        if self._is_broken:
            raise RuntimeError("CUDA error: device-side assert triggered")


def main() -> int:
    url, reader, *assignments = sys.argv[1:]
    made = NumberReader(**json.loads(reader))
    PlateReader.load = lambda **_: made  # type: ignore[method-assign, assignment]
    loaded = settings.load({"redis.url": url, "log.level": "warning"}, tuple(assignments))
    return runtime.serve("ocr", loaded, service.Ocr().run, cameras=loaded.ocr.cameras)


if __name__ == "__main__":
    sys.exit(main())
