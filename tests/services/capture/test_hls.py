"""HLS from a real server that stalls, dies and comes back: live, and a playlist with an end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from platestream import streams
from platestream.embedded_redis import EmbeddedRedis
from tests.conftest import MadeOnce, wait_until
from tests.services.capture.published import (
    CAMERA,
    FAST,
    captured,
    check_order,
    counts,
    facts,
    frames,
    more,
    numbers,
)
from tests.sources import capture, free_port, packets

SECONDS = 60


@pytest.fixture(scope="module")
def pieces(made_once: MadeOnce) -> Path:
    """A minute of numbered frames: pieces of a second, ``all.m3u8``, and ``eight.m3u8``."""
    return made_once("hls", _write_pieces)


def _write_pieces(folder: Path) -> None:
    options = {"hls_time": "1", "hls_list_size": "0", "hls_segment_filename": f"{folder}/%d.ts"}
    with av.open(str(folder / "all.m3u8"), "w", format="hls", options=options) as file:
        for packet in packets(file, [n / 25 for n in range(25 * SECONDS)], key_frames=25):
            file.mux(packet)
    assert (folder / f"{SECONDS - 1}.ts").exists()
    text = (folder / "all.m3u8").read_text()
    short = text[: text.index("8.ts") + 5].removesuffix("#EXTINF:1.000000,\n8.ts\n")
    (folder / "eight.m3u8").write_text(f"{short}#EXT-X-ENDLIST\n")


class Server:
    """A server in a process of its own, stopped, stalled and started at will."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[str] | None = None

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    def start(self, pieces: int) -> None:
        command = [sys.executable, "-m", "tests.hls_server", str(self.port), str(self._folder)]
        self._process = subprocess.Popen(
            [*command, str(pieces)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@pytest.fixture
def hls(pieces: Path) -> Iterator[Server]:
    server = Server(pieces)
    yield server
    server.stop()


def test_a_live_playlist_whose_server_stalls_and_dies_is_followed(
    hls: Server, tmp_path: Path, server: EmbeddedRedis
) -> None:
    client = streams.connect(server.url)
    hls.start(3)
    with capture(hls.url("live.m3u8"), server.url, CAMERA, *FAST, cwd=tmp_path) as process:
        more(client, 60)
        hls.signal(signal.SIGSTOP)
        wait_until(lambda: facts(client)["state"] == "stalled", what="the stall noticed")
        hls.signal(signal.SIGCONT)
        wait_until(lambda: facts(client)["state"] == "live", what="live again")
        more(client)
        assert counts(client, "stalls") >= 1
        assert counts(client, "reconnects") == 1
        hls.stop()
        wait_until(lambda: facts(client)["state"] == "lost", what="lost")
        hls.start(SECONDS - 12)
        wait_until(lambda: facts(client)["state"] == "live", what="live once more")
        more(client)
        assert counts(client, "reconnects") == 2
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    assert process.returncode == 0, log
    assert "Traceback" not in log
    some = frames(client)
    check_order(some, held=2)
    shown = numbers(some)
    assert shown == sorted(set(shown))
    assert counts(client, "skipped_by_capture") + counts(client, "undecoded_by_capture") == 0


def test_pieces_that_come_at_once_are_shown_at_their_own_speed(
    hls: Server, tmp_path: Path, server: EmbeddedRedis
) -> None:
    """OCR would otherwise have the newest of 25 frames only, and then nothing for a second."""
    client = streams.connect(server.url)
    hls.start(3)
    with capture(hls.url("live.m3u8"), server.url, CAMERA, *FAST, cwd=tmp_path):
        more(client, 110)
        some = frames(client)
    at = [frame.captured_at_ms for frame in some[50:]]
    most = max(sum(1 for other in at if 0 <= other - one < 200) for one in at)
    assert most <= 10  # 5 are due, and 25 would be a piece
    assert counts(client, "skipped_by_capture") == 0


def test_a_playlist_with_an_end_is_played_to_it(
    hls: Server, tmp_path: Path, server: EmbeddedRedis
) -> None:
    client = streams.connect(server.url)
    hls.start(0)
    with capture(hls.url("eight.m3u8"), server.url, CAMERA, *FAST, cwd=tmp_path) as process:
        _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert numbers(frames(client)) == list(range(8 * 25))
    assert counts(client, "reconnects") == 0


@pytest.mark.parametrize("fault", ["dies", "stalls"])
def test_a_playlist_with_an_end_goes_on_where_its_server_failed(
    hls: Server, tmp_path: Path, server: EmbeddedRedis, fault: str
) -> None:
    """FFmpeg says that it has ended; until it has, every frame comes, and once."""
    client = streams.connect(server.url)
    hls.start(0)
    with capture(hls.url("eight.m3u8"), server.url, CAMERA, *FAST, cwd=tmp_path) as process:
        wait_until(lambda: captured(client) >= 40, what="frames")
        if fault == "dies":
            hls.stop()
        else:
            hls.signal(signal.SIGSTOP)
        state = "lost" if fault == "dies" else "stalled"
        wait_until(lambda: facts(client)["state"] == state, what=state)
        if fault == "dies":
            hls.start(0)
        else:
            hls.signal(signal.SIGCONT)
        _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert numbers(frames(client)) == list(range(8 * 25))
    assert counts(client, "reconnects") == 1
    assert facts(client)["state"] == "ended"


def test_a_playlist_that_promises_more_than_there_is_ends(
    hls: Server, pieces: Path, tmp_path: Path, server: EmbeddedRedis
) -> None:
    """Its last pieces are not there; that is tried once more, and said."""
    client = streams.connect(server.url)
    text = (pieces / "eight.m3u8").read_text()
    (pieces / "more.m3u8").write_text(text.replace("6.ts", "gone.ts").replace("7.ts", "too.ts"))
    hls.start(0)
    with capture(hls.url("more.m3u8"), server.url, CAMERA, *FAST, cwd=tmp_path) as process:
        _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert numbers(frames(client)) == list(range(6 * 25))
    assert "2.0 s before its end" in log
