"""Runs: what a camera is called when nobody says."""

from __future__ import annotations

import pytest

from platestream.job import camera_name


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("Gate 1.mp4", "gate-1"),
        ("/data/a@b.mp4", "a-b"),
        ("/data/pictures/", "pictures"),
        ("rtsp://admin:S3cret@host/Stream1", "stream1"),
        ("rtsp://admin:S3cret@host", "host"),
        ("rtsp://S3cret@host", "host"),
        ("http://host/mjpeg?pwd=S3cret", "mjpeg-pwd"),
        ("udp://@:5000", "5000"),
    ],
)
def test_a_camera_is_named_after_its_source_and_not_after_its_password(
    source: str, name: str
) -> None:
    assert camera_name(source) == name
