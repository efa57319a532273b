"""``python -m benchmarks.vision``: frames a second at 1080p with three plates each.

Draws a clip, then reads it as the services do, one step after the other: decoding (H.264), taking
frames as they travel (out of a JPEG, or as they lie in shared memory), bringing them to where the
networks run, finding plates, warping them flat, recognizing them. Prints each step's share of the
time; absolute figures depend on the machine.

Several processes (``--processes``) share a machine, or its GPU: all begin to measure when the last
of them is warm, and their frames a second are summed.
"""

from __future__ import annotations

import argparse
import datetime
import multiprocessing
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from platestream import pixels
from platestream.picture import Picture, bgr, copy
from platestream.video import VideoEncoder, VideoSource
from platestream.vision.backends import Network
from platestream.vision.canvas import CpuCanvas
from platestream.vision.detector import Detector
from platestream.vision.recognizer import Recognizer
from training.synthesis.plate import random_text, render_plate
from training.synthesis.scene import Street

Image = npt.NDArray[np.uint8]

SIZE = (1920, 1080)
_PLATES = ((150, 560), (820, 640), (1500, 580))  # of each, the top left corner in the first frame
_PLATE_WIDTH = 220
_RATE = Fraction(25)
_TRAVEL = {"jpeg": "JPEG", "shm": "shared memory"}
_WARM_WITHIN_S = 900.0  # all processes together: the first call of a GPU takes its time


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


@dataclass(frozen=True)
class Measured:
    """What one process has measured.

    Attributes:
        seconds: Of each step.
        began, ended: On the machine's monotonic clock, in seconds.
        how: What computed, and in what.
    """

    seconds: dict[str, float]
    frames: int
    found: int
    accepted: int
    began: float
    ended: float
    how: str = ""

    @property
    def rate(self) -> float:
        """Frames a second, by what the steps took."""
        return self.frames / sum(self.seconds.values())


def measure(
    source: Path,
    detector: Detector,
    recognizer: Recognizer,
    batch: int,
    travel: str = "jpeg",
    settle: Callable[[], None] = lambda: None,
) -> Measured:
    """Reads the clip once.

    Args:
        batch: Frames that are read at once.
        travel: How frames come: ``jpeg`` or ``shm``.
        settle: Waits until a device has done what it was given; called at the end of each step.
    """
    names = ("H.264", _TRAVEL[travel], "upload", "detection", "warp", "recognition")
    seconds = dict.fromkeys(names, 0.0)

    @contextmanager
    def step(name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        settle()
        seconds[name] += time.perf_counter() - began

    on_cpu = detector.network.canvas is CpuCanvas
    frames = found = accepted = 0
    started = time.perf_counter()
    with VideoSource(str(source)) as video:
        decoded = video.frames()
        images: list[Picture] = []
        while True:
            with step("H.264"):
                frame = next(decoded, None)
            if frame is not None and travel == "jpeg":
                packed = pixels.pack(frame.image, "jpeg", 92)  # capture's work, not counted here
                with step("JPEG"):
                    images.append(pixels.unpack(packed, *SIZE))
            elif frame is not None:
                with step("shared memory"):  # as OCR takes it out of a ring
                    images.append(bgr(frame.picture) if on_cpu else copy(frame.picture))
            if len(images) == batch or (frame is None and images):
                with step("upload"):
                    canvas = detector.network.canvas(images)
                with step("detection"):
                    detections = detector.detect(canvas)
                with step("warp"):
                    plates = [(i, one.corners) for i, of in enumerate(detections) for one in of]
                    flat = canvas.flatten(plates)
                with step("recognition"):
                    texts = recognizer.predict(flat)
                frames += len(images)
                found += len(plates)
                accepted += sum(text.accepted for text in texts)
                images = []
            if frame is None:
                ended = time.perf_counter()
                return Measured(seconds, frames, found, accepted, started, ended)


_barrier: threading.Barrier | None = None  # of the processes that measure at once


def _share(barrier: Any) -> None:
    global _barrier
    _barrier = barrier


def work(clip: Path, given: argparse.Namespace) -> Measured:
    """Measures in this process, at once with those others that share its barrier."""
    try:
        options = {
            "backend": given.backend,
            "device": given.device,
            "precision": given.precision,
            "threads": given.threads,
            "video": given.video,
        }
        detector, recognizer = Detector.load(**options), Recognizer.load(**options)
        for model in (detector, recognizer):
            model.network = _viewed(model.network, given.views)
        cv2.setNumThreads(given.threads)
        settle = _settling(given.device)
        arguments = (clip, detector, recognizer, given.batch, given.pixels, settle)
        measure(*arguments)  # compiles what must be compiled
        if _barrier is not None:
            _barrier.wait()
        network = detector.network
        views = "cpu" if network.canvas is CpuCanvas else "device"
        how = f"{network.backend} {network.run.precision}, views made on the {views}"
        return replace(measure(*arguments), how=how)
    except BaseException:
        if _barrier is not None:
            _barrier.abort()  # the others would wait for this one
        raise


def _viewed(network: Network, views: str) -> Network:
    """A network with its views made where it is asked for."""
    if views == "cpu":
        return replace(network, canvas=CpuCanvas)
    if views == "device":
        from platestream.vision.backends.torch import TorchBackend

        if not isinstance(network.run, TorchBackend):
            raise SystemExit(f"{network.backend} takes views made on the CPU only")
        return replace(network, canvas=network.run.canvas)
    return network


def _settling(device: str) -> Callable[[], None]:
    if not device.startswith("cuda"):
        return lambda: None
    import torch

    from platestream.vision.device_memory import wait

    return lambda: wait(torch.device(device))


def work_at_once(clip: Path, given: argparse.Namespace) -> list[Measured]:
    """Measures in several processes at once."""
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    barrier = context.Barrier(given.processes, timeout=_WARM_WITHIN_S)
    with ProcessPoolExecutor(given.processes, context, _share, (barrier,)) as pool:
        futures: list[Future[Measured]] = [
            pool.submit(work, clip, given) for _ in range(given.processes)
        ]
        errors = [error for future in futures if (error := future.exception())]
    for error in sorted(errors, key=lambda e: isinstance(e, threading.BrokenBarrierError)):
        raise error  # the cause, before what it did to the others
    return [future.result() for future in futures]


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description="Frames a second at 1080p, three plates each.")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:0, …")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16", "int8"])
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of the networks")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--batch", type=int, default=4, help="frames that are read at once")
    parser.add_argument("--processes", type=int, default=1, help="that do the same at once")
    parser.add_argument("--pixels", default="jpeg", choices=list(_TRAVEL), help="how frames come")
    parser.add_argument("--video", action="store_true", help="the networks for videos, as OCR has")
    parser.add_argument(
        "--views",
        default="auto",
        choices=["auto", "cpu", "device"],
        help="where views are made of frames; auto: on the GPU where torch runs there",
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        draw(clip, given.frames)
        results = [work(clip, given)] if given.processes == 1 else work_at_once(clip, given)
    frames = sum(one.frames for one in results)
    found, accepted = sum(one.found for one in results), sum(one.accepted for one in results)
    print(f"{datetime.date.today()}, {os.cpu_count()} cores, {platform.machine()}, {given.device}, "
          f"{results[0].how}, {given.threads} threads, {given.processes} processes, "
          f"{given.frames} frames each in batches of {given.batch}, "
          f"{found / frames:.2f} plates a frame, {accepted} of {found} accepted\n")  # fmt: skip
    seconds = {name: sum(one.seconds[name] for one in results) for name in results[0].seconds}
    whole, rate = sum(seconds.values()), sum(one.rate for one in results)
    print(f"| | ms a frame | share |\n|---|---|---|\n| all | {1000 * whole / frames:.2f} "
          f"({rate:.0f} frames/s) | 100% |")  # fmt: skip
    for name, spent in seconds.items():
        print(f"| {name} | {1000 * spent / frames:.2f} | {100 * spent / whole:.0f}% |")
    if len(results) > 1:
        rates = sorted(one.rate for one in results)
        spent = max(one.ended for one in results) - min(one.began for one in results)
        print(f"\nEach process {rates[0]:.0f} to {rates[-1]:.0f} frames/s; all frames in "
              f"{spent:.2f} s from the first process's beginning to the last one's end "
              f"({frames / spent:.0f} frames/s, what is not counted above included)")  # fmt: skip


if __name__ == "__main__":
    main()
