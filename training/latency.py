"""How long the models take on one core, backend by backend, and where the time goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from platestream.demo import built_in_clip
from platestream.errors import SettingsError
from platestream.video import VideoSource
from platestream.vision import backends
from platestream.vision.detector import MAX_PLATES, Detector
from platestream.vision.flat_plate import flatten
from platestream.vision.heatmap import decode_map
from platestream.vision.letterbox import letterbox
from platestream.vision.recognizer import Recognizer

Image = npt.NDArray[np.uint8]
Row = dict[str, Any]

_FRAME = 100  # of the built-in clip: two plates to be seen
_BATCHES = (1, 16)


def recognizer_latency(path: Path | None, device: str = "cpu", rounds: int = 40) -> list[Row]:
    """Times a plate alone and in a batch of 16, with every backend that reads the file.

    Args:
        path: A model file; None: the shipped ones.

    Returns:
        Rows: ``backend``, ``computed_in``, ``batch``, and in ms a plate (one that is read surely,
        ``_plate``) the median ``ms`` and the
        ``least_ms`` of all, and the medians of ``preparing_ms``, ``network_ms``, ``decoding_ms``.
    """
    plate = _plate(device)
    rows: list[Row] = []
    with _one_core():
        for recognizer in _each(Recognizer.load, path, device):
            for batch in _BATCHES:
                plates = [plate] * batch
                inputs = recognizer.inputs(plates)
                whole, least = _time(partial(recognizer.predict, plates), rounds)
                preparing, _ = _time(partial(recognizer.inputs, plates), rounds)
                network, _ = _time(partial(recognizer.network.run, inputs), rounds)
                row = {
                    "ms": whole,
                    "least_ms": least,
                    "preparing_ms": preparing,
                    "network_ms": network,
                    "decoding_ms": max(0.0, whole - preparing - network),
                }
                of = {key: round(value / batch, 3) for key, value in row.items()}
                rows.append(_named(recognizer.network) | {"batch": batch} | of)
    return rows


def detector_latency(path: Path | None, device: str = "cpu", rounds: int = 30) -> list[Row]:
    """Times a frame of 1280x720 with two plates, with every backend that reads the file.

    Args:
        path: A model file; None: the shipped ones.

    Returns:
        Rows: ``backend``, ``computed_in``, ``plates``, and in ms a frame the median ``ms`` and the
        ``least_ms`` of all, and the medians of ``scaling_ms``, ``network_ms``, ``peaks_ms`` and
        ``second_look_ms``.
    """
    frame = _frame()
    rows: list[Row] = []
    with _one_core():
        for detector in _each(Detector.load, path, device):
            picture, _ = letterbox(frame, detector.long_side)
            found = detector.network.run(picture[None])
            whole, least = _time(partial(detector.detect, frame), rounds)
            scaling, _ = _time(partial(letterbox, frame, detector.long_side), rounds)
            network, _ = _time(partial(detector.network.run, picture[None]), rounds)
            peaks, _ = _time(
                partial(decode_map, found[0], detector.score_threshold, MAX_PLATES), rounds
            )
            row = {
                "ms": whole,
                "least_ms": least,
                "scaling_ms": scaling,
                "network_ms": network,
                "peaks_ms": peaks,
                "second_look_ms": max(0.0, whole - scaling - network - peaks),
            }
            of = {key: round(value, 2) for key, value in row.items()}
            plates = {"plates": len(detector.detect(frame))}
            rows.append(_named(detector.network) | plates | of)
    return rows


def _each(load: Callable[..., Any], path: Path | None, device: str) -> Iterator[Any]:
    """A model in every backend and precision that will do here."""
    names = backends.ON_CUDA if device.startswith("cuda") else backends.ON_CPU
    for name in names:
        if not backends.installed(name) or not backends.reads(name, path):
            continue
        for precision in ("fp32", "bf16", "int8"):
            try:
                yield load(path, backend=name, device=device, threads=1, precision=precision)
            except SettingsError:  # it does not compute in this, or there is no such file
                continue


def _named(network: backends.Network) -> Row:
    return {"backend": network.backend, "computed_in": network.run.precision}


def _plate(device: str) -> Image:
    """Of the frame's plates the one that is read most surely.

    Most plates are: their best path is taken. For one that is hard to read decoding has to search,
    which takes about a millisecond more, whatever the network.
    """
    frame = _frame()
    flat = [flatten(frame, one.corners) for one in Detector.load(device=device).detect(frame)]
    texts = Recognizer.load(device=device).predict(flat)
    return max(zip(texts, flat, strict=True), key=lambda pair: pair[0].confidence)[1]


def _frame() -> Image:
    with VideoSource(str(built_in_clip()[0])) as video:
        return next(frame.image for n, frame in enumerate(video.frames(), 1) if n == _FRAME)


@contextmanager
def _one_core() -> Iterator[None]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _time(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median and least time in ms, after up to five rounds that do not count."""
    times = []
    warm_up = min(5, rounds)
    for number in range(warm_up + rounds):
        began = time.perf_counter()
        work()
        if number >= warm_up:
            times.append(1000 * (time.perf_counter() - began))
    return float(np.median(times)), min(times)
