"""Sources of all kinds through the whole of ``platestream run``."""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from platestream import streams
from platestream.colour import BT601, Colour
from platestream.embedded_redis import EmbeddedRedis
from platestream.picture import form_of
from platestream.video import VideoEncoder, VideoSource
from tests import preloaded
from tests.numbered import number_of, numbered_picture
from tests.planes import some_planes
from tests.sources import write_video


def run(source: Path, out: Path, *more: str) -> tuple[dict[str, object], str]:
    """``platestream run --json``: what it prints, and its log."""
    command = [sys.executable, "-m", "platestream", "run", str(source)]
    command += ["--output", str(out), "--json", *more]
    done = preloaded.run(command, capture_output=True, text=True, timeout=110, cwd=out.parent)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def shown(path: Path) -> list[tuple[int, float]]:
    with VideoSource(str(path)) as video:
        return [(int(number_of(f.image)), f.pts_s) for f in video.frames()]


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
def test_a_variable_frame_rate_plays_at_its_own_speed(tmp_path: Path, ending: str) -> None:
    times = [0.0, 0.04, 0.08, 0.5, 0.54, 0.55, 1.7, 1.74, 4.0]
    source = write_video(tmp_path / f"in.{ending}", times)
    out = tmp_path / "out.mp4"
    result, _ = run(source, out, "--ocr-replicas", "0")
    assert result["frames_written"] == len(times)
    assert [number for number, _ in shown(out)] == list(range(len(times)))
    assert [pts_s for _, pts_s in shown(out)] == pytest.approx(times, abs=1e-3)


@pytest.mark.parametrize("way", ["shm", "raw", "jpeg"])
def test_colours_of_another_standard_stay_what_they_were(tmp_path: Path, way: str) -> None:
    colour, source, out = Colour("bt709", True), tmp_path / "in.mp4", tmp_path / "out.mp4"
    encoder = VideoEncoder(source, 322, 182, Fraction(25), crf=10, colour=colour)
    planes = some_planes(322, 182, colour)
    planes.y[...] = 120
    for number in range(5):
        encoder.write(planes, number / 25)
    encoder.close()
    settings = ("--set", f"streams.pixels={way}", "--set", "writer.crf=10")
    run(source, out, "--ocr-replicas", "0", *settings)
    with VideoSource(str(source)) as before, VideoSource(str(out)) as after:
        pairs = list(zip(before.frames(), after.frames(), strict=True))
    assert len(pairs) == 5
    for one, other in pairs:
        assert form_of(one.picture).colour == colour
        assert form_of(other.picture).colour == (BT601 if way == "jpeg" else colour)
        difference = one.image.astype(int) - other.image
        assert np.abs(difference).mean() < (5 if way == "jpeg" else 3)
        assert np.abs(difference.mean((0, 1))).max() < (5 if way == "jpeg" else 2)


def test_a_size_that_changes_midway_is_fitted_and_said(tmp_path: Path) -> None:
    first = write_video(tmp_path / "1.ts", [n / 25 for n in range(20)])
    then = write_video(
        tmp_path / "2.ts", [n / 25 for n in range(20)], size=(640, 360), first_number=20
    )
    source = tmp_path / "in.ts"
    source.write_bytes(first.read_bytes() + then.read_bytes())  # and the time jumps back
    out = tmp_path / "out.mp4"
    result, log = run(source, out, "--ocr-replicas", "0")
    assert result["frames_written"] == 40
    assert "gives 640x360 now" in log
    assert [number for number, _ in shown(out)] == list(range(40))
    assert [pts_s for _, pts_s in shown(out)] == pytest.approx(
        [n / 25 for n in range(40)], abs=1e-3
    )


def test_a_folder_of_pictures_is_a_video(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(12):
        size = (320, 180) if number < 8 else (480, 270)
        cv2.imwrite(str(folder / f"img{number}.png"), numbered_picture(number, *size))
    (folder / "img12.png").write_bytes(b"broken")
    out = tmp_path / "out.mp4"
    settings = ("--set", "capture.folder_fps=8")
    result, log = run(folder, out, "--ocr-replicas", "0", *settings)
    assert result["frames_written"] == 12
    assert "1 of 13 pictures could not be read" in str(result["warnings"])
    assert "gives 480x270 now" in log
    assert shown(out) == [(n, pytest.approx(n / 8, abs=1e-3)) for n in range(12)]


@pytest.mark.usefixtures("blind_ocr")
def test_frame_ids_past_two_to_the_thirty_two(tmp_path: Path, server: EmbeddedRedis) -> None:
    client = streams.connect(server.url)
    last = 2**32 + 5
    streams.register_camera(client, "gate-1", last_frame_id=str(last))
    source = write_video(tmp_path / "in.mp4", [n / 25 for n in range(30)])
    out = tmp_path / "out.mp4"
    result, _ = run(source, out, "--redis", server.url, "--camera", "gate-1")
    assert (result["frames_written"], result["frames_lost"]) == (30, 0)
    assert [number for number, _ in shown(out)] == list(range(30))
    lines = [json.loads(x) for x in (tmp_path / "out.readings.jsonl").read_text().splitlines()]
    assert [line["frame_id"] for line in lines] == list(range(last + 1, last + 31))
    assert lines[-1]["reading_frame_id"] > last
    assert streams.last_frame_id(client, "gate-1") == last + 30
