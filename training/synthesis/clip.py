"""``python -m training.synthesis.clip OUT.mp4``: a clip of a drawn street, and its truth beside it.

The truth is JSON: the plates' texts with the frames in which each can be seen, and for every
frame the corners of its plates in pixels.
"""

from __future__ import annotations

import argparse
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from platestream.video import VideoEncoder
from training.synthesis.plate import random_text
from training.synthesis.scene import SIZE, Street, random_cars

FPS = 30


def make_street(seed: int, plates: int, seconds: float) -> Street:
    """A street with so many cars, the same for the same seed."""
    rng = np.random.default_rng(seed)
    texts = [random_text(rng) for _ in range(plates)]
    return Street(random_cars(rng, texts, seconds), seed)


def make_clip(path: Path, *, seed: int, plates: int, seconds: float, crf: int) -> dict[str, Any]:
    """Writes the clip and returns its truth; frames count from 1, as frame ids do."""
    street = make_street(seed, plates, seconds)
    encoder = VideoEncoder(path, *SIZE, Fraction(FPS), preset="medium", crf=crf)
    corners: list[dict[str, list[float]]] = []
    for number in range(round(seconds * FPS)):
        image, seen = street.frame(number / FPS)
        encoder.write(image, number / FPS)
        corners.append(
            {text: [round(float(v), 1) for v in quad.ravel()] for text, quad in seen.items()}
        )
    encoder.close()
    frames = {
        car.text: [number for number, seen in enumerate(corners, 1) if car.text in seen]
        for car in street.cars
    }
    return {
        "fps": FPS,
        "frames": len(corners),
        "width": SIZE[0],
        "height": SIZE[1],
        "seed": seed,
        "plates": [
            {"text": text, "first_frame": seen[0], "last_frame": seen[-1]}
            for text, seen in frames.items()
            if seen
        ],
        "corners": corners,
    }


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description="Makes a clip of a drawn street.")
    parser.add_argument("output", type=Path, help="the MP4; the truth goes beside it as .json")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--plates", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--crf", type=int, default=26, help="x264's quality; more is smaller")
    given = parser.parse_args()
    truth = make_clip(given.output, seed=given.seed, plates=given.plates, seconds=given.seconds,
                      crf=given.crf)  # fmt: skip
    given.output.with_suffix(".json").write_text(json.dumps(truth, separators=(",", ":")) + "\n")
    for plate in truth["plates"]:
        print(plate["text"], plate["first_frame"], plate["last_frame"])


if __name__ == "__main__":
    main()
