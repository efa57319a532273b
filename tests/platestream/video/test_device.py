"""Cameras of this machine: what they may be asked for, and what is said of one that fails."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from platestream.errors import SourceError
from platestream.video import VideoSource, device
from platestream.video.source_options import check_source, options_for


def test_a_device_is_as_it_was_set_without_wishes() -> None:
    how = options_for("/dev/video0", "tcp", 10.0)
    assert (how.opened, how.format, how.options) == ("/dev/video0", "v4l2", {})


def test_what_a_device_is_asked_for() -> None:
    how = options_for("/dev/video0?size=1280x720&fps=30&format=mjpeg", "tcp", 10.0)
    assert how.opened == "/dev/video0"
    assert how.options == {"video_size": "1280x720", "framerate": "30", "input_format": "mjpeg"}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("width=1280", "no 'width'; a device has size, fps, format"),
        ("size=1280", "size=1280 cannot be; write size=1280x720"),
        ("fps=0", "fps=0 cannot be"),
        ("format=", "format= cannot be"),
    ],
)
def test_what_there_is_not_is_refused_at_once(query: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        check_source(f"/dev/video0?{query}")


def test_a_device_that_is_not_there_is_told_with_those_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "_FOLDER", tmp_path)
    with pytest.raises(SourceError, match=r"no device /dev/video99; there is no camera at all"):
        VideoSource("/dev/video99")
    (tmp_path / "video2").touch()
    with pytest.raises(SourceError, match=r"no device /dev/video99; there are .*/video2$"):
        VideoSource("/dev/video99")


def test_what_is_no_camera_is_said() -> None:
    with pytest.raises(SourceError, match=r"/dev/null is no camera \(V4L2\)"):
        VideoSource("/dev/null")


def test_other_errors_are_left_to_ffmpegs_words() -> None:
    assert device.trouble("/dev/video0", OSError(errno.EIO, "input/output error")) is None
    assert device.trouble("/dev/video0", OSError(errno.EINVAL, "invalid argument")) is None
