"""Capture on a machine that is too slow for its camera.

``python -m tests.services.capture.slow_capture SECONDS ARGUMENT…``: ``platestream capture`` with
the arguments, whose decoder takes so long for each packet.
"""

from __future__ import annotations

import sys
import time

from platestream.video import VideoSource
from services.capture.__main__ import main

frames_of = VideoSource._frames_of


def slowly(self, packet):  # type: ignore[no-untyped-def]
    time.sleep(float(sys.argv[1]))  # the fault itself
    return frames_of(self, packet)


if __name__ == "__main__":
    VideoSource._frames_of = slowly  # type: ignore[method-assign]
    sys.exit(main(sys.argv[2:]))
