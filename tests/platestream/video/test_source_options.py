"""What FFmpeg is told of a source before it opens it."""

from __future__ import annotations

import pytest

from platestream.video.source_options import is_live, options_for


@pytest.mark.parametrize(
    ("source", "live"),
    [
        ("clip.mp4", False),
        ("/data/clip.mp4", False),
        ("file:///data/clip.mp4", False),
        ("rtsp://camera/stream", True),
        ("http://camera/live.m3u8", True),
        ("udp://@:5000", True),
        ("/dev/video0", True),
        ("/dev/video0?size=640x480", True),
        ("/dev/shm/clip.mp4", False),
    ],
)
def test_what_is_live(source: str, live: bool) -> None:
    assert is_live(source) is live


@pytest.mark.parametrize(
    "source",
    ["rtsp://c/s", "RTSP://c/s", "rtsps://c/s", "udp://@:5000", "http://c/s", "rtmp://c/s",
     "srt://c:9000", "rtp://@:5000", "tcp://c:5000"],
)  # fmt: skip
def test_what_comes_over_the_network_opens_no_file(source: str) -> None:
    allowed = options_for(source, "tcp", 10.0).options["protocol_whitelist"].split(",")
    assert source.partition(":")[0].lower() in allowed
    assert not {"file", "pipe", "fd", "concat", "subfile", "async", "cache"} & set(allowed)


def test_a_file_opens_files_alone() -> None:
    how = options_for("clip.mp4", "tcp", 10.0)
    assert (how.format, how.options, how.timeout) == (None, {"protocol_whitelist": "file"}, None)


def test_the_transport_is_rtsps_alone() -> None:
    assert options_for("rtsp://c/s", "udp", 10.0).options["rtsp_transport"] == "udp"
    assert "rtsp_transport" not in options_for("http://c/s", "udp", 10.0).options


def test_a_connection_of_a_playlist_has_a_limit_of_its_own() -> None:
    """The next piece of a playlist may be as long in coming as a piece is."""
    how = options_for("http://c/live.m3u8", "tcp", 10.0)
    assert how.options["rw_timeout"] == "10000000"
    assert how.timeout == (10.0, 30.0)
    assert options_for("rtsp://c/s", "tcp", 10.0).timeout == (10.0, 10.0)
