"""A live run left alone, watched from outside: the short form of ``python -m benchmarks.soak``."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.soak import Soak, soak
from platestream.demo import built_in_clip
from platestream.video import VideoEncoder, VideoSource

# MiB a minute, after the first half minute. OCR still compiles networks for shapes that are new,
# and visualize fills its 512 readings; ten minutes of the command show where they end.
MOST_GROWTH = {"run": 2, "capture": 2, "writer": 2, "visualize": 10, "track": 4, "ocr": 30}


def test_growth_is_what_a_line_through_the_looks_says() -> None:
    flat, rising = [50.0] * 60, [50.0 + 0.1 * second for second in range(60)]
    one = Soak({}, {"flat": [1.0, *flat, 0.0, 0.0], "rising": [1.0, *rising, 0.0, 0.0]}, {}, 60.0)
    assert one.growth("flat", 1) == pytest.approx(0.0, abs=1e-9)
    assert one.growth("rising", 1) == pytest.approx(6.0)


@pytest.fixture
def small_clip(tmp_path: Path) -> Path:
    """The built-in clip at half its size: two cores have time for it, and for other tests."""
    path = tmp_path / "small.mp4"
    with VideoSource(str(built_in_clip()[0])) as video:
        encoder = VideoEncoder(path, video.width // 2, video.height // 2, video.rate)
        for frame in video.frames():
            picture = cv2.resize(frame.image, (video.width // 2, video.height // 2)).astype(
                np.uint8
            )
            encoder.write(picture, frame.pts_s)
    encoder.close()
    return path


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_live_run_loses_no_frame_and_its_memory_stays_flat(small_clip: Path) -> None:
    result = soak(small_clip, minutes=1.25)
    said = result.said
    assert "error" not in said
    assert said["frames_in"] > 0.9 * 30 * result.seconds
    assert said["frames_lost"] == 0
    growth = {name: result.growth(name, skip_s=30) for name in result.memory}
    print({name: round(mib, 2) for name, mib in growth.items()})
    assert set(growth) == {*MOST_GROWTH, "redis"}
    for name, most in MOST_GROWTH.items():
        assert growth[name] < most, f"{name}: {result.memory[name]}"
    assert max(result.memory["redis"]) < result.redis_bound()
