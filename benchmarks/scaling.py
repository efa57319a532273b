"""``python -m benchmarks.scaling``: how readings grow with OCR replicas, and what a death costs.

The model sleeps 50 ms a batch of one frame, so that what is measured is the pool and Redis: with
no cost of their own, N replicas give N × 20 readings/s. Frames of several cameras lie ready in
Redis, tiny ones. In the end one of the replicas is killed at work.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import redis

from platestream import messages, pixels, streams
from platestream.embedded_redis import EmbeddedRedis, die_with_parent
from platestream.messages import Frame

_SLEEP_S = 0.05
_WIDTH, _HEIGHT = 64, 36
_START_S = 120.0
_CLAIM_MS = 1000


def measure(replicas: int, cameras: int, seconds: float, *, kill: bool = False) -> dict[str, float]:
    """Runs so many replicas on frames that lie ready.

    Args:
        kill: Kill one in the middle, and wait until every frame has been read.

    Returns:
        ``rate``: readings/s. With ``kill`` also ``held``, the frames that the victim had,
        ``taken_over_s``, how long it took until others had read them, and ``missing``.
    """
    with EmbeddedRedis() as server:
        client = streams.connect(server.url)
        command = [sys.executable, "-m", "benchmarks.sleeping_replica", server.url, str(_SLEEP_S)]
        command += ["ocr.batch=1", f"ocr.claim_after_ms={_CLAIM_MS}"]
        processes = [
            subprocess.Popen([*command, f"ocr.name=ocr-{n}"], preexec_fn=die_with_parent)
            for n in range(replicas)
        ]
        try:
            _wait(lambda: client.hlen(streams.REPLICAS_KEY) == replicas, "all replicas")
            frames = round((seconds + 4) * replicas / _SLEEP_S / cameras)
            for number in range(cameras):
                _capture(client, f"camera-{number}", frames)
            _wait(lambda: _readings(client, cameras) >= 5 * replicas, "the first readings")
            before, began = _readings(client, cameras), time.monotonic()
            time.sleep(seconds)
            rate = (_readings(client, cameras) - before) / (time.monotonic() - began)
            if not kill:
                return {"rate": rate}
            return {"rate": rate, **_kill(client, processes[0], cameras, frames)}
        finally:
            for process in processes:
                process.kill()
                process.wait()


def _kill(
    client: redis.Redis, victim: subprocess.Popen[bytes], cameras: int, frames: int
) -> dict[str, float]:
    held: list[tuple[str, str]] = []
    while not held:  # at work, not between two frames
        held = [
            (f"camera-{number}", row["message_id"].decode())
            for number in range(cameras)
            for row in client.xpending_range(
                streams.frames_key(f"camera-{number}"), streams.OCR, "-", "+", 9,
                consumername="ocr-0",
            )
        ]  # fmt: skip
    victim.kill()
    killed = time.monotonic()

    def finished() -> bool:
        return not any(
            client.xpending_range(streams.frames_key(camera), streams.OCR, entry, entry, 1)
            for camera, entry in held
        )

    _wait(finished, "the victim's frames")
    taken_over_s = time.monotonic() - killed
    _wait(lambda: _readings(client, cameras) >= cameras * frames, "all frames")
    missing = 0
    for number in range(cameras):
        entries = client.xrange(streams.readings_key(f"camera-{number}"))
        missing += frames - len({fields[b"frame_id"] for _, fields in entries})
    return {"held": len(held), "taken_over_s": taken_over_s, "missing": missing}


def _capture(client: redis.Redis, camera: str, frames: int) -> None:
    picture = np.zeros((_HEIGHT, _WIDTH, 3), np.uint8)
    key = streams.frames_key(camera)
    streams.ensure_group(client, key, streams.OCR)
    for frame_id in range(1, frames + 1):
        frame = Frame(
            frame_id=frame_id,
            captured_at_ms=frame_id,
            pts_s=frame_id / 25,
            width=_WIDTH,
            height=_HEIGHT,
            pixels=pixels.pack(picture, "jpeg"),
        )
        streams.publish(client, key, streams.entry_id(frame_id), messages.frame_fields(frame))
    streams.register_camera(client, camera, mode="file")


def _readings(client: redis.Redis, cameras: int) -> int:
    counts = (streams.counts_key(f"camera-{number}") for number in range(cameras))
    return sum(int(streams.read_hash(client, key).get("readings", 0)) for key in counts)


def _wait(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + _START_S
    while not condition():
        if time.monotonic() > until:
            raise SystemExit(f"not within {_START_S:.0f} s: {what}")
        time.sleep(0.01)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description="Measures how OCR replicas scale.")
    parser.add_argument("--replicas", nargs="*", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=8.0)
    given = parser.parse_args()
    print(f"{datetime.date.today()}, {os.cpu_count()} cores, {platform.machine()}, "
          f"{given.cameras} cameras, a model that sleeps {1000 * _SLEEP_S:.0f} ms\n")  # fmt: skip
    print("| replicas | readings/s | × one replica | of linear |\n|---|---|---|---|")
    one = 0.0
    for replicas in given.replicas:
        rate = measure(replicas, given.cameras, given.seconds)["rate"]
        one = one or rate / replicas
        print(f"| {replicas} | {rate:.1f} | {rate / one:.2f} | {rate / one / replicas:.3f} |",
              flush=True)  # fmt: skip
    lost = measure(4, given.cameras, 2.0, kill=True)
    print(f"\none of four killed at work (claims after {_CLAIM_MS} ms): {lost['held']:.0f} frame "
          f"of its read by others after {lost['taken_over_s']:.2f} s, "
          f"{lost['missing']:.0f} readings missing")  # fmt: skip


if __name__ == "__main__":
    main()
