"""Where a transport stream changes its codec: found to the byte, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from platestream.video.transport_stream import TransportStream
from tests.sources import packets, write_video

TIMES = [n / 25 for n in range(20)]


def parts_of(path: Path, size: int = 32_768) -> list[bytes]:
    stream = TransportStream(path)
    parts = []
    while True:
        pieces = list(iter(lambda: stream.read(size), b""))
        assert max(map(len, pieces)) <= size
        parts.append(b"".join(pieces))
        if not stream.next_part():
            stream.close()
            return parts


@pytest.fixture
def videos(tmp_path: Path) -> list[bytes]:
    """H.264 and MPEG-2."""
    return [
        write_video(tmp_path / f"{codec}.ts", TIMES, codec=codec).read_bytes()
        for codec in ("libx264", "mpeg2video")
    ]


def association_and_rest(video: bytes) -> tuple[bytes, bytes]:
    """FFmpeg begins with a service description, then the association table, then the map."""
    assert (video[189] & 0x1F, video[190]) == (0, 0)
    return video[188:376], video[376:]


@pytest.mark.parametrize("size", [100, 188, 5000, 32_768, 10**6])
def test_it_is_cut_at_the_program_map(tmp_path: Path, videos: list[bytes], size: int) -> None:
    path = tmp_path / "whole.ts"
    path.write_bytes(b"".join(videos))
    first, second = parts_of(path, size)
    association, rest = association_and_rest(videos[1])
    assert second == association + rest
    assert first == videos[0] + videos[1][:376]


def test_the_same_codec_again_is_no_change(tmp_path: Path, videos: list[bytes]) -> None:
    path = tmp_path / "whole.ts"
    path.write_bytes(videos[0] + videos[0])
    assert parts_of(path) == [videos[0] + videos[0]]


def test_packets_with_a_time_code_are_cut_too(tmp_path: Path, videos: list[bytes]) -> None:
    path = tmp_path / "whole.m2ts"

    code = b"\0\0\0\1"

    def coded(video: bytes) -> bytes:
        return b"".join(code + video[n : n + 188] for n in range(0, len(video), 188))

    path.write_bytes(b"".join(map(coded, videos)))
    first, second = parts_of(path)
    assert first == coded(videos[0]) + coded(videos[1][:376]) + code
    assert second == videos[1][188:376] + code + coded(videos[1][376:])[4:]


def test_a_damaged_map_is_no_change(tmp_path: Path, videos: list[bytes]) -> None:
    damaged = bytearray(videos[1])
    for packet in range(0, len(damaged), 188):
        if damaged[packet + 1 : packet + 3] == damaged[377:379]:
            damaged[packet + 20] ^= 4
    path = tmp_path / "whole.ts"
    path.write_bytes(videos[0] + damaged)
    assert parts_of(path) == [videos[0] + damaged]


def test_bytes_that_are_missing_do_not_hide_a_change(tmp_path: Path, videos: list[bytes]) -> None:
    path = tmp_path / "whole.ts"
    path.write_bytes(videos[0][:5000] + videos[0][5050:] + videos[1])
    first, second = parts_of(path, 2000)
    assert len(first) == len(videos[0]) - 50 + 376
    assert second == videos[1][188:]


def test_another_programs_map_is_another_codec(tmp_path: Path, videos: list[bytes]) -> None:
    other = tmp_path / "other.ts"
    options = {"mpegts_pmt_start_pid": "0x200", "mpegts_service_id": "7"}
    with av.open(str(other), "w", options=options) as file:
        for packet in packets(file, TIMES, "mpeg2video"):
            file.mux(packet)
    path = tmp_path / "whole.ts"
    path.write_bytes(videos[0] + other.read_bytes())
    first, second = parts_of(path)
    assert first == videos[0] + other.read_bytes()[:376]
    assert second == other.read_bytes()[188:]


def test_what_is_no_transport_stream_is_one_part(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(range(256)) * 500)
    assert parts_of(path) == [path.read_bytes()]
