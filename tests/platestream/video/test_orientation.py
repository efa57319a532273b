"""Videos that say how they are to be turned, as phones make them."""

from __future__ import annotations

import gc
import itertools
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from av.video.frame import VideoFrame

from platestream.demo import built_in_clip
from platestream.video import VideoSource, open_file

# right and down of the stored picture on the screen (a, b, c, d), and what a viewer shows
TURNS: dict[str, tuple[tuple[int, int, int, int], Callable[[np.ndarray], np.ndarray]]] = {
    "none": ((1, 0, 0, 1), lambda picture: picture),
    "clockwise": ((0, 1, -1, 0), lambda picture: np.rot90(picture, -1)),
    "upside down": ((-1, 0, 0, -1), lambda picture: np.rot90(picture, 2)),
    "anticlockwise": ((0, -1, 1, 0), np.rot90),
    "mirrored": ((-1, 0, 0, 1), np.fliplr),
    "on its head": ((1, 0, 0, -1), np.flipud),
    "transposed": ((0, 1, 1, 0), lambda picture: np.transpose(picture, (1, 0, 2))),
    "transversed": ((0, -1, -1, 0), lambda picture: np.rot90(np.transpose(picture, (1, 0, 2)), 2)),
    "askew": ((1, 1, -1, 1), lambda picture: picture),
}


def turn(video: Path, directions: tuple[int, int, int, int]) -> None:
    """Puts a matrix into the track's header (ISO/IEC 14496-12, 8.3.2)."""
    data = bytearray(video.read_bytes())
    at = data.index(b"tkhd") + 4
    at += 4 + (48 if data[at] == 1 else 36)
    a, b, c, d = (65_536 * direction for direction in directions)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    video.write_bytes(data)


@pytest.fixture(scope="module")
def stored(
    tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]
) -> tuple[Path, list[np.ndarray]]:
    video = make_video(tmp_path_factory.mktemp("stored") / "a.mp4", frames=3, width=160, height=90)
    with VideoSource(str(video)) as source:
        return video, [frame.image for frame in source.frames()]


@pytest.mark.parametrize("name", TURNS)
def test_frames_come_upright(
    name: str, stored: tuple[Path, list[np.ndarray]], tmp_path: Path
) -> None:
    video, pictures = stored
    directions, shown = TURNS[name]
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(video.read_bytes())
    turn(turned, directions)
    with VideoSource(str(turned)) as source:
        frames = list(source.frames())
    assert [frame.pts_s for frame in frames] == pytest.approx([0, 0.04, 0.08], abs=1e-4)
    for frame, picture in zip(frames, pictures, strict=True):
        expected = shown(picture)
        assert frame.image.shape == expected.shape
        assert np.abs(frame.image.astype(int) - expected).mean() < 2


# EXIF 2.32, 4.6.4: Orientation, 1 to 8
EXIF_TURNS = ["none", "mirrored", "upside down", "on its head", "transposed", "clockwise",
              "transversed", "anticlockwise"]  # fmt: skip


@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpegs_with_exif_come_upright(orientation: int, tmp_path: Path) -> None:
    """Cameras write it; PyAV has no name for it, and gave no side data at all."""
    stored = np.zeros((90, 160, 3), np.uint8)
    stored[:45, :80], stored[:45, 80:], stored[45:, :80] = (0, 0, 255), (0, 255, 0), (255, 0, 0)
    jpeg = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    tag = struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x112, 3, 1, orientation, 0, 0)
    exif = b"\xff\xe1" + struct.pack(">H", len(tag) + 8) + b"Exif\0\0" + tag
    video = tmp_path / "camera.mjpeg"
    video.write_bytes(3 * (jpeg[:2] + exif + jpeg[2:]))
    with VideoSource(str(video)) as source:
        frames = list(source.frames())
    assert len(frames) == 3
    expected = TURNS[EXIF_TURNS[orientation - 1]][1](stored)
    for frame in frames:
        assert frame.image.shape == expected.shape
        assert np.abs(frame.image.astype(int) - expected).mean() < 6


def test_a_frame_that_is_done_with_is_freed_at_once() -> None:
    gc.collect()
    gc.disable()
    try:
        with open_file(str(built_in_clip()[0])) as video:
            for _ in itertools.islice(video.frames(), 60):
                pass
            alive = sum(isinstance(thing, VideoFrame) for thing in gc.get_objects())
    finally:
        gc.enable()
    assert alive < 10  # what the decoder's threads hold, and not all sixty
