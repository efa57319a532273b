"""``python -m benchmarks.vision``: frames a second at 1080p with three plates each.

Draws a clip, then reads it as the services do, one step after the other: decoding (H.264, and
JPEG as frames travel), finding plates, warping them flat, recognizing them. Prints each step's
share of the time; absolute figures depend on the machine.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from platestream import pixels
from platestream.video import VideoEncoder, VideoSource
from platestream.vision.detector import Detector
from platestream.vision.reader import flatten
from platestream.vision.recognizer import Recognizer
from training.synthesis.plate import random_text, render_plate
from training.synthesis.scene import Street

Image = npt.NDArray[np.uint8]

SIZE = (1920, 1080)
_PLATES = ((150, 560), (820, 640), (1500, 580))  # of each, the top left corner in the first frame
_PLATE_WIDTH = 220
_RATE = Fraction(25)
_STEPS = ("H.264", "JPEG", "detection", "warp", "recognition")


def draw(path: Path, frames: int, seed: int = 0) -> None:
    """Writes the clip: a street without cars, and three plates that move over it."""
    rng = np.random.default_rng(seed)
    ground = cv2.resize(Street([], seed).frame(0.0)[0], SIZE)
    plates = [render_plate(random_text(rng), rng=rng) for _ in _PLATES]
    plates = [
        cv2.resize(p, (_PLATE_WIDTH, _PLATE_WIDTH * p.shape[0] // p.shape[1]),
                   interpolation=cv2.INTER_AREA)
        for p in plates
    ]  # fmt: skip
    encoder = VideoEncoder(path, *SIZE, _RATE)
    for number in range(frames):
        image = ground.copy()
        for plate, (x, y) in zip(plates, _PLATES, strict=True):
            left, top = x + number % 100, y + number % 50
            image[top : top + plate.shape[0], left : left + plate.shape[1]] = plate
        encoder.write(image, float(number / _RATE))
    encoder.close()


def measure(source: Path, detector: Detector, recognizer: Recognizer, batch: int) -> dict[str, Any]:
    """Reads the clip once; seconds of each step, frames and plates."""
    seconds = dict.fromkeys(_STEPS, 0.0)

    @contextmanager
    def step(name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        seconds[name] += time.perf_counter() - began

    frames = found = accepted = 0
    with VideoSource(str(source)) as video:
        decoded = video.frames()
        images: list[Image] = []
        while True:
            with step("H.264"):
                frame = next(decoded, None)
            if frame is not None:
                packed = pixels.pack(frame.image, "jpeg", 92)  # capture's work, not counted here
                with step("JPEG"):
                    images.append(pixels.unpack(packed, *SIZE))
            if len(images) == batch or (frame is None and images):
                with step("detection"):
                    detections = detector.detect(images)
                with step("warp"):
                    crops = [
                        flatten(image, one.corners)
                        for image, of_image in zip(images, detections, strict=True)
                        for one in of_image
                    ]
                with step("recognition"):
                    texts = recognizer.predict(crops)
                frames += len(images)
                found += len(crops)
                accepted += sum(text.accepted for text in texts)
                images = []
            if frame is None:
                return {"seconds": seconds, "frames": frames, "found": found, "accepted": accepted}


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description="Frames a second at 1080p, three plates each.")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:0, …")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of the networks")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--batch", type=int, default=4, help="frames that are read at once")
    given = parser.parse_args()
    options = {
        "backend": given.backend,
        "device": given.device,
        "precision": given.precision,
        "threads": given.threads,
    }
    detector, recognizer = Detector.load(**options), Recognizer.load(**options)
    cv2.setNumThreads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        draw(clip, given.frames)
        measure(clip, detector, recognizer, given.batch)  # compiles what must be compiled
        result = measure(clip, detector, recognizer, given.batch)
    whole = sum(result["seconds"].values())
    frames = result["frames"]
    network = detector.network
    print(f"{datetime.date.today()}, {os.cpu_count()} cores, {platform.machine()}, {given.device}, "
          f"{network.backend} {network.run.precision}, {given.threads} threads, {frames} frames in "
          f"batches of {given.batch}, {result['found'] / frames:.2f} plates a frame, "
          f"{result['accepted']} of {result['found']} accepted\n")  # fmt: skip
    print(f"| | ms a frame | share |\n|---|---|---|\n| all | {1000 * whole / frames:.2f} "
          f"({frames / whole:.0f} frames/s) | 100% |")  # fmt: skip
    for name, spent in result["seconds"].items():
        print(f"| {name} | {1000 * spent / frames:.2f} | {100 * spent / whole:.0f}% |")


if __name__ == "__main__":
    main()
