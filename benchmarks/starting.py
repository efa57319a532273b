"""``python -m benchmarks.starting``: how long OCR takes until it can read its first frame.

Each row is a process of its own, as a replica is: networks loaded, and run once on what frames of
1280x720 give (``PlateReader.load``). First with nothing compiled on disk, then with what that
process left there.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import statistics
import subprocess
import sys
import tempfile

from platestream.vision.backends import PRECISIONS

_START = """
import sys, time
began, busy = time.perf_counter(), time.process_time()
from platestream.vision.reader import PlateReader
imported = time.perf_counter()
PlateReader.load(threads=1, precision=sys.argv[1], backend="openvino", video=True)
ended = time.perf_counter()
print(imported - began, ended - imported, time.process_time() - busy)
"""


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=["int8", "fp32"])
    options = parser.parse_args()
    print(f"{datetime.date.today()}, {os.cpu_count()} cores ({platform.machine()})\n")
    print("| precision | on disk | imports s | networks s | CPU s, all |\n|---|---|---|---|---|")
    for precision in options.precision:
        rows: dict[str, list[list[float]]] = {"nothing": [], "compiled models": []}
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as cache:
                for row in rows.values():
                    row.append(_start(precision, cache))
        for name, row in rows.items():
            medians = (f"{statistics.median(x):.2f}" for x in zip(*row, strict=True))
            print(f"| {precision} | {name} | {' | '.join(medians)} |", flush=True)


def _start(precision: str, cache: str) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-c", _START, precision],
        env={**os.environ, "XDG_CACHE_HOME": cache},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [float(x) for x in done.stdout.split()]


if __name__ == "__main__":
    main()
