"""``run --sync exact``: every frame is drawn with its own reading, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from platestream import streams
from platestream.demo import built_in_clip
from platestream.embedded_redis import EmbeddedRedis
from tests.conftest import wait_until
from tests.end_to_end.running import (
    FRAMES,
    Written,
    finish,
    processes,
    refused,
    running,
    send,
    written,
)
from tests.end_to_end.test_run import platestream, said
from tests.sources import part_of_clip

EXACT = ("--sync", "exact")


def check_own_readings(lines: Path, frames: int) -> list[dict[str, object]]:
    found = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [line["frame_id"] for line in found] == list(range(1, frames + 1))
    assert [line["reading_frame_id"] for line in found] == list(range(1, frames + 1))
    assert {line["overlay_age_ms"] for line in found} == {0}
    return found


@pytest.mark.soak
def test_every_plate_is_drawn_with_its_tracks_text(tmp_path: Path) -> None:
    first, count = 70, 56  # three cars, the first of which goes
    clip, out = part_of_clip(tmp_path / "part.mp4", first, count), tmp_path / "o.mp4"
    result = said(platestream("run", clip, *EXACT, "--output", out, "--json", cwd=tmp_path))
    assert result["frames_written"] == count
    assert result["overlay_age_ms"] == {"p50": 0, "p95": 0}
    lines = check_own_readings(tmp_path / "o.readings.jsonl", count)
    plates = [plate for line in lines for plate in line["plates"]]  # type: ignore[attr-defined]
    assert len(plates) > count
    assert all("track" in plate for plate in plates)
    known = {plate["text"] for plate in built_in_clip()[1]["plates"]}
    assert len(known & {plate["text"] for plate in plates if plate["accepted"]}) >= 2


def test_a_window_smaller_than_a_batch_is_no_deadlock(
    make_video: Callable[..., Path], tmp_path: Path, blind_networks: dict[str, str]
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=30)
    small = ("--set", "streams.window_frames=2", "--set", "ocr.batch=4")
    done = platestream(
        "run", source, *EXACT, *small, "--ocr-replicas", "2",
        "--output", tmp_path / "o.mp4", "--json", cwd=tmp_path, **blind_networks,
    )  # fmt: skip
    assert said(done)["frames_written"] == 30
    check_own_readings(tmp_path / "o.readings.jsonl", 30)


@pytest.mark.usefixtures("blind_ocr")
@pytest.mark.parametrize(
    "victim",
    [
        pytest.param("ocr", marks=pytest.mark.soak),
        "track",
        pytest.param("visualize", marks=pytest.mark.soak),
    ],
)
def test_a_killed_service_changes_nothing(
    source: Path, undisturbed: Written, tmp_path: Path, any_server: EmbeddedRedis, victim: str
) -> None:
    out = tmp_path / "out.mp4"
    client = streams.connect(any_server.url)
    replicas = "3" if victim == "ocr" else "2"
    more = ("--ocr-replicas", replicas, "--set", "ocr.claim_after_ms=500", *EXACT)
    with running(source, out, any_server.url, *more) as run:
        wait_until(lambda: written(client) >= 20, 60, "frames written")
        if victim == "ocr":
            os.kill(processes(run, victim)[0], signal.SIGKILL)  # one of three
        else:
            assert send(run, victim)
        assert finish(run)["frames_written"] == FRAMES
    undisturbed.check_same(Written.of(out))
    check_own_readings(tmp_path / "out.readings.jsonl", FRAMES)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--live"], "is live"),
        (["--ocr-replicas", "0"], "there is none"),
        (["--read-every", "2"], "leave one of them out"),
    ],
)
def test_what_cannot_be_exact_is_refused(
    source: Path,
    tmp_path: Path,
    flags: list[str],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for exact in (EXACT, ("--set", "visualize.sync=exact")):
        command = ("run", source, *exact, *flags, "--output", "o.mp4")
        assert sentence in refused(capsys, monkeypatch, tmp_path, *command)
        assert not (tmp_path / "o.mp4").exists()
    command = ("run", source, "--output", "o.mp4", "--read-every", "2")
    assert "is live" in refused(capsys, monkeypatch, tmp_path, *command, "--live")
    assert "every frame" in refused(capsys, monkeypatch, tmp_path, *command, "--sequential")
    for more in (["--live"], ["--ocr-replicas", "2"]):
        sequential = ("run", source, "--output", "o.mp4", "--sequential", *more)
        assert f"leave {more[0]} out" in refused(capsys, monkeypatch, tmp_path, *sequential)
    unknown = refused(capsys, monkeypatch, tmp_path, "run", source, "--sync", "never")
    assert "visualize.sync" in unknown
