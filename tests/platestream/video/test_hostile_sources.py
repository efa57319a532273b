"""What a URL may answer other than video: files of this machine, circles, refusals, no end."""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from platestream.errors import SourceError
from platestream.video import StalledError, VideoSource
from tests.sources import write_video

_PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
_MASTER = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{}\n"
_PIECE = 2**16


class _Hostile(http.server.SimpleHTTPRequestHandler):
    """Answers as its path says."""

    asked = 0
    sent = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        how = self.path.removeprefix("/")
        with contextlib.suppress(OSError):
            if how.isdecimal():
                self.send_error(int(how))
            elif how.startswith("to-"):
                self.send_response(302)
                self.send_header("Location", {
                    "to-video": "/a.ts", "to-itself": "/to-itself",
                    "to-file": f"file://{self.directory}/a.ts",
                }[how])  # fmt: skip
                self.end_headers()
            elif how in ("zeros", "text", "drops"):
                self.send_response(200)
                self.end_headers()
                while True:
                    data = {"zeros": bytes(_PIECE), "text": b"no video\n" * 9000, "drops": b"G"}
                    self.wfile.write(data[how])
                    type(self).sent += len(data[how])
                    time.sleep(0.05 if how == "drops" else 0)
            else:
                super().do_GET()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    _Hostile.asked = _Hostile.sent = 0

    def handler(*args: object) -> _Hostile:
        return _Hostile(*args, directory=str(tmp_path))  # type: ignore[arg-type]

    write_video(tmp_path / "a.ts", [n / 25 for n in range(10)])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:  # type: ignore[arg-type]
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def frames_of(source: str) -> int:
    with VideoSource(source, timeout_s=2) as video:
        return sum(1 for _ in video.frames())


@pytest.mark.parametrize("playlist", [_PLAYLIST, _MASTER])
@pytest.mark.parametrize(
    "entry",
    [
        "file://{}/a.ts",
        "concat:{}/a.ts",
        "subfile,,start,0,end,0,,:{}/a.ts",
        "crypto+file://{}/a.ts",
    ],
)
def test_a_playlist_from_elsewhere_opens_no_file_of_this_machine(
    web: str, tmp_path: Path, playlist: str, entry: str
) -> None:
    (tmp_path / "list.m3u8").write_text(playlist.format(entry.format(tmp_path)))
    with pytest.raises(SourceError):
        frames_of(f"{web}/list.m3u8")


def test_a_playlist_may_name_another_host(web: str, tmp_path: Path) -> None:
    other = web.replace("127.0.0.1", "localhost")
    (tmp_path / "list.m3u8").write_text(_PLAYLIST.format(f"{other}/a.ts"))
    assert frames_of(f"{web}/list.m3u8") == 10


def test_redirects_are_followed_but_to_no_file_and_not_for_ever(web: str) -> None:
    assert frames_of(f"{web}/to-video") == 10
    with pytest.raises(SourceError, match="cannot open http"):
        frames_of(f"{web}/to-file")
    _Hostile.asked = 0
    with pytest.raises(SourceError, match="cannot open http"):
        frames_of(f"{web}/to-itself")
    assert 2 < _Hostile.asked < 20


@pytest.mark.parametrize(
    ("status", "said"),
    [("401", "401 unauthorized"), ("403", "403 forbidden"), ("404", "404 not found"), ("503", "5")],
)
def test_a_refusal_is_said(web: str, status: str, said: str) -> None:
    with pytest.raises(SourceError, match=rf"cannot open http://.*: server returned {said}"):
        frames_of(f"{web}/{status}")


@pytest.mark.parametrize("what", ["zeros", "text"])
def test_what_is_no_video_and_has_no_end_is_left_soon(web: str, what: str) -> None:
    began = time.monotonic()
    with pytest.raises(SourceError, match="invalid data"):
        frames_of(f"{web}/{what}")
    assert time.monotonic() - began < 5
    assert _Hostile.sent < 32 * 2**20  # most of it in the buffers of sockets


def test_a_playlist_that_names_itself_ends(web: str, tmp_path: Path) -> None:
    (tmp_path / "list.m3u8").write_text(_MASTER.format("list.m3u8"))
    began = time.monotonic()
    with pytest.raises(SourceError, match="holds no video"):
        frames_of(f"{web}/list.m3u8")
    assert time.monotonic() - began < 10


def test_a_server_that_sends_a_byte_now_and_then_has_stalled(web: str) -> None:
    """No read takes long, but opening does."""
    with pytest.raises(StalledError, match="silent for 2 s"):
        frames_of(f"{web}/drops")


def test_a_url_of_a_file_is_told_to_be_a_path(
    make_video: Callable[..., Path], tmp_path: Path
) -> None:
    path = make_video(tmp_path / "a.mp4", frames=2)
    with pytest.raises(SourceError, match="write the path alone"):
        frames_of(f"file://{path}")
