"""Live frames that are lost while a service stands still: all of them counted, by name."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from platestream import streams
from platestream.embedded_redis import EmbeddedRedis
from tests.conftest import wait_until
from tests.end_to_end.running import (
    CAMERA,
    Written,
    counts,
    finish,
    running,
    send,
    wait_for,
    written,
)

LOSSES = (
    "skipped_by_visualize", "trimmed_before_visualize", "overwritten_before_visualize",
    "refused_by_visualize", "trimmed_before_writer", "overwritten_before_writer",
    "refused_by_writer", "missed_by_writer", "refused_before_writer",
)  # fmt: skip
READERS = {"visualize": streams.frames_key(CAMERA), "writer": streams.rendered_key(CAMERA)}


def trimmed_unseen(client: redis.Redis, service: str) -> int:
    """How many frame ids lie between what a service was handed last and what is left."""
    oldest = streams.oldest_id(client, READERS[service], "+")
    handed_out = streams.last_handed_out(client, READERS[service], service)
    return streams.frame_id_of(oldest) - 1 - handed_out if oldest else 0


@pytest.mark.parametrize(
    ("service", "pixels"),
    [
        ("visualize", "shm"),
        pytest.param("visualize", "raw", marks=pytest.mark.soak),
        ("writer", "raw"),
        pytest.param("writer", "shm", marks=pytest.mark.soak),
    ],
)
@pytest.mark.parametrize(
    "fate", [signal.SIGCONT, pytest.param(signal.SIGKILL, marks=pytest.mark.soak)]
)
def test_every_frame_lost_to_a_service_that_stands_still_is_counted(
    make_video: Callable[..., Path],
    tmp_path: Path,
    any_server: EmbeddedRedis,
    service: str,
    pixels: str,
    fate: int,
) -> None:
    """It stands still until a second's frames are trimmed that it has not seen."""
    client, out = streams.connect(any_server.url), tmp_path / "out.mp4"
    source = make_video(tmp_path / "in.mp4", width=640, height=360, frames=175)
    flags = ("--set", f"streams.pixels={pixels}", "--set", "streams.budget_mib=4")
    with running(source, out, any_server.url, "--live", "--ocr-replicas", "0", *flags) as run:
        assert wait_for(run, lambda: written(client) >= 20, "frames written")
        (stopped,) = send(run, service, signal.SIGSTOP)
        wait_until(lambda: trimmed_unseen(client, service) > 25, 60, "frames trimmed")
        os.kill(stopped, fate)
        result = finish(run)
    found = counts(client)
    assert found[f"trimmed_before_{service}"] > 25
    lost = sum(found.get(name, 0) for name in LOSSES)
    assert found["frames_in"] == found["frames_written"] + lost
    assert result["frames_lost"] == lost
    assert len(Written.of(out).lines) == found["frames_written"]
