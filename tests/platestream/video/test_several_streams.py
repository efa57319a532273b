"""Containers with more in them than one video: which is taken, and what is read of the others."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import av
import numpy as np
import pytest
from av.stream import Disposition

from platestream.video import VideoSource
from tests.numbered import number_of, numbered_picture
from tests.sources import packets

LARGE, SMALL = (320, 180), (160, 90)


def write(path: Path, kinds: Sequence[str]) -> Path:
    """A second of video, in streams of these kinds: ``large``, ``small``, ``cover``, ``audio``."""
    with av.open(str(path), "w") as file:
        streams = []
        for kind in kinds:
            if kind == "audio":
                streams.append(file.add_stream("aac", rate=48_000))
                continue
            codec = "mjpeg" if kind == "cover" else "libx264"
            stream = file.add_stream(codec, rate=25)
            stream.width, stream.height = {"large": LARGE, "small": SMALL, "cover": (640, 640)}[
                kind
            ]
            stream.pix_fmt = "yuvj420p" if kind == "cover" else "yuv420p"
            if kind == "cover":
                stream.disposition = Disposition.attached_pic
            streams.append(stream)
        for number in range(25):
            for kind, stream in zip(kinds, streams, strict=True):
                if kind == "cover" and number:
                    continue
                file.mux(stream.encode(_frame(kind, number)))
        for stream in streams:
            file.mux(stream.encode(None))
    return path


def _frame(kind: str, number: int) -> av.VideoFrame | av.AudioFrame:
    if kind == "audio":
        silence = np.zeros((1, 1920), np.float32)
        sound = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = 48_000, number * 1920, Fraction(1, 48_000)
        return sound
    size = {"large": LARGE, "small": SMALL, "cover": (640, 640)}[kind]
    picture = av.VideoFrame.from_ndarray(numbered_picture(number, *size), format="bgr24")
    picture.pts, picture.time_base = number, Fraction(1, 25)
    return picture


@pytest.mark.parametrize(
    ("ending", "kinds"),
    [
        *((ending, ("audio", "large")) for ending in ("mp4", "mkv", "ts")),
        *((ending, ("small", "large")) for ending in ("mp4", "mkv", "ts")),
        ("mp4", ("large", "small", "audio")),
        ("mp4", ("cover", "large")),
        ("mp4", ("large", "cover")),
    ],
)
def test_the_largest_video_is_taken(tmp_path: Path, ending: str, kinds: tuple[str, ...]) -> None:
    with VideoSource(str(write(tmp_path / f"a.{ending}", kinds))) as video:
        assert (video.width, video.height) == LARGE
        frames = list(video.frames())
    assert [number_of(frame.image) for frame in frames] == list(range(25))
    assert [frame.pts_s for frame in frames] == pytest.approx([n / 25 for n in range(25)], abs=2e-3)


class _Counting(http.server.SimpleHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    handler = functools.partial(_Counting, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_of_a_playlist_with_several_sizes_one_is_fetched(tmp_path: Path) -> None:
    master = ["#EXTM3U"]
    for name, size in (("small", SMALL), ("large", LARGE)):
        pieces = f"{tmp_path}/{name}-%d.ts"
        options = {"hls_time": "1", "hls_list_size": "0", "hls_segment_filename": pieces}
        with av.open(str(tmp_path / f"{name}.m3u8"), "w", format="hls", options=options) as file:
            for packet in packets(file, [n / 25 for n in range(200)], size=size, key_frames=25):
                file.mux(packet)
        master += ["#EXT-X-STREAM-INF:BANDWIDTH=100000", f"{name}.m3u8"]
    (tmp_path / "all.m3u8").write_text("\n".join([*master, ""]))
    _Counting.asked.clear()
    with served(tmp_path) as url, VideoSource(f"{url}/all.m3u8") as video:
        assert (video.width, video.height) == LARGE
        assert sum(1 for _ in video.frames()) == 200
    assert sum(path.startswith("/large-") for path in _Counting.asked) == 8
    assert sum(path.startswith("/small-") for path in _Counting.asked) <= 3  # to know what it is
