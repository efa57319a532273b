"""The shipped models on real pictures and video, where the data folder lies beside the checkout."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

pytestmark = [pytest.mark.shared, pytest.mark.timeout(300)]


def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from platestream.cli import main; main()"]
    return subprocess.run(
        [*command, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=280
    )


@pytest.mark.parametrize(
    ("name", "frames", "rate", "texts"),
    [
        ("closeup_30fps_720p", 100, 30000 / 1001, {"A301PO174"}),
        ("street_25fps_720p", 570, 25, {"M807MA71", "T631TA71"}),
    ],
)
def test_a_real_street(
    shared: Path, tmp_path: Path, name: str, frames: int, rate: float, texts: set[str]
) -> None:
    source = (shared / "data" / "video" / f"{name}.mp4").resolve()
    done = run("run", source, "--output", "o.mp4", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["frames_in"], result["frames_written"]) == (frames, frames)
    assert texts <= {plate["text"] for plate in result["plates"]}
    video = cv2.VideoCapture(str(tmp_path / "o.mp4"))
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == frames
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(rate, abs=0.01)
    assert video.get(cv2.CAP_PROP_FRAME_WIDTH) == 1280


def test_a_live_source_is_written_at_its_rate(shared: Path, tmp_path: Path) -> None:
    source = (shared / "data" / "video" / "street_25fps_720p.mp4").resolve()
    done = run("run", source, "--live", "--output", "o.mp4", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["frames_lost"] == 0
    # a CPU without bfloat16 reads four frames a second; what is older than this is not drawn
    assert result["overlay_age_ms"]["p95"] < 1000


def test_real_crops_with_a_broken_one_among_them(shared: Path, tmp_path: Path) -> None:
    folder = (shared / "data" / "CropNumbers" / "NumBase").resolve()
    broken = tmp_path / "broken.bmp"
    broken.write_bytes(b"BM no picture")
    good = folder / "B050CB 8621.bmp"
    done = run("recognize", broken, good, "missing.jpg", "--json", cwd=tmp_path)
    first, second, third = (json.loads(line) for line in done.stdout.splitlines())
    assert done.returncode == 1
    assert "broken.bmp" in first["error"]
    assert (second["text"], second["accepted"]) == ("B050CB86", True)
    assert "missing.jpg" in third["error"]
    assert "Traceback" not in done.stderr
