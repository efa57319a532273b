"""Entries that are not ours, by the hundred: each is counted, and few lines are said of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import redis

from platestream import streams
from platestream.embedded_redis import EmbeddedRedis
from tests import preloaded
from tests.conftest import wait_until

CAMERA = "gate-1"
ENTRIES = 400


@pytest.mark.usefixtures("blind_ocr")
@pytest.mark.parametrize("server", ["system"], indirect=True)
@pytest.mark.parametrize(
    ("service", "stream", "words"),
    [
        ("track", streams.readings_key, []),
        ("visualize", streams.frames_key, []),
        ("writer", streams.rendered_key, ["{folder}/out.mp4"]),
        ("ocr", streams.frames_key, ["--name", "ocr-1"]),
    ],
)
def test_a_flood_of_bad_entries_is_a_few_lines(
    server: EmbeddedRedis, real: redis.Redis, tmp_path: Path, service: str, stream: object,
    words: list[str],
) -> None:  # fmt: skip
    streams.register_camera(real, CAMERA, mode="live", first_frame_id="1")
    key = stream(CAMERA)  # type: ignore[operator]
    group = {"track": "track", "visualize": "visualize", "writer": "writer", "ocr": "ocr"}[service]
    streams.ensure_group(real, key, group)
    for number in range(1, ENTRIES + 1):
        real.xadd(key, {"frame_id": "no number", "body": f"{number}"}, id=f"{number}-0")
    counter = "dead" if service == "ocr" else f"refused_by_{service}"
    command = [sys.executable, "-m", f"services.{service}"]
    command += [word.format(folder=tmp_path) for word in words]
    command += ["--camera", CAMERA, "--redis", server.url, "--set", "log.format=json"]
    command += ["--set", "visualize.live_backlog_frames=1000", "--set", "ocr.policy=every"]
    log = tmp_path / "log"
    with log.open("w") as file:
        process = preloaded.Popen(command, stderr=file)
    try:
        wait_until(
            lambda: streams.read_counts(real, CAMERA).get(counter, 0) == ENTRIES, 100, counter
        )
    finally:
        process.terminate()
        process.wait(30)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    errors = [line["event"] for line in lines if line["level"] == "error"]
    assert 3 < len(errors) <= 8, errors
    assert any("more like it" in event for event in errors), errors
