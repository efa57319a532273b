"""MPEG-TS files as recorders leave them: counters that wrap or jump, another codec midway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from platestream.picture import bgr
from platestream.video import VideoSource
from platestream.video.source import VideoPacket, to_picture
from platestream.video.transport_stream import TransportStream
from tests.numbered import number_of, numbered_picture
from tests.sources import write_video

TIMES = [n / 25 for n in range(40)]


def joined(whole: Path, *parts: Path) -> Path:
    """Files one behind the other, as ``cat`` joins them."""
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    return whole


def read(path: Path) -> list[tuple[int, float]]:
    with VideoSource(str(path)) as source:
        return [(int(number_of(frame.image)), frame.pts_s) for frame in source.frames()]


@pytest.mark.parametrize("start", [0, 2**32 - 40_000, 2**33 - 40_000])
def test_time_stamps_past_their_counter_lose_no_time(tmp_path: Path, start: int) -> None:
    path = write_video(tmp_path / "a.ts", TIMES, extra=lambda _: start)
    got = read(path)
    assert [number for number, _ in got] == list(range(40))
    assert [pts_s for _, pts_s in got] == pytest.approx(TIMES, abs=1e-3)


@pytest.mark.parametrize("hours", [2, -2])
def test_time_stamps_that_jump_by_hours_go_on_where_they_were(tmp_path: Path, hours: int) -> None:
    ticks = 3 * 3600 * 90_000
    parts = [
        write_video(tmp_path / "1.ts", TIMES, extra=lambda _: ticks),
        write_video(
            tmp_path / "2.ts",
            TIMES,
            first_number=40,
            extra=lambda _: ticks + hours * 3600 * 90_000,
        ),
    ]
    got = read(joined(tmp_path / "whole.ts", *parts))
    assert [number for number, _ in got] == list(range(80))
    assert [pts_s for _, pts_s in got] == pytest.approx([n / 25 for n in range(80)], abs=1e-3)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("libx264", "mpeg2video"),
        ("mpeg2video", "libx264"),
        ("libx264", "libx265"),
        ("libx265", "libx264"),
    ],
)
def test_another_codec_midway_costs_no_frame(tmp_path: Path, first: str, second: str) -> None:
    whole = joined(
        tmp_path / "whole.ts",
        write_video(tmp_path / "1.ts", TIMES, codec=first),
        write_video(tmp_path / "2.ts", TIMES, codec=second, size=(480, 270), first_number=40),
        write_video(tmp_path / "3.ts", TIMES, codec=first, first_number=80),
    )
    with VideoSource(str(whole)) as source:
        frames = list(source.frames())
        assert source.complaints(len(frames)) == []
    assert [int(number_of(f.image)) for f in frames] == list(range(120))
    assert [f.image.shape[1] for f in frames] == 40 * [320] + 40 * [480] + 40 * [320]
    assert [f.pts_s for f in frames] == pytest.approx([n / 25 for n in range(120)], abs=1e-3)


def test_a_part_that_cannot_be_opened_is_said_and_the_rest_read(tmp_path: Path) -> None:
    middle = write_video(tmp_path / "2.ts", TIMES, codec="mpeg2video")
    data = bytearray(middle.read_bytes())
    for packet in range(3 * 188, len(data), 188):  # what its tables promise never comes
        data[packet + 1 : packet + 3] = b"\x1f\xff"
    middle.write_bytes(data)
    whole = joined(
        tmp_path / "whole.ts",
        write_video(tmp_path / "1.ts", TIMES),
        middle,
        write_video(tmp_path / "3.ts", TIMES, first_number=40),
    )
    with VideoSource(str(whole)) as source:
        assert [int(number_of(f.image)) for f in source.frames()] == list(range(80))
        assert source.complaints(80) == ["1 parts of another codec could not be opened"]


def test_rubbish_in_the_middle_is_passed_over(tmp_path: Path) -> None:
    data = bytearray(write_video(tmp_path / "a.ts", TIMES).read_bytes())
    middle = len(data) // 2 // 188 * 188
    for packet in range(middle, middle + 20 * 188, 188):
        data[packet + 20 : packet + 188] = bytes(168)
    (tmp_path / "b.ts").write_bytes(data)
    got = [number for number, _ in read(tmp_path / "b.ts")]
    assert got[:12] == list(range(12))
    assert got[-4:] == [36, 37, 38, 39]


def test_a_first_part_that_cannot_be_opened_is_passed_over(tmp_path: Path) -> None:
    first = write_video(tmp_path / "1.ts", TIMES, codec="mpeg2video")
    data = bytearray(first.read_bytes())
    for packet in range(3 * 188, len(data), 188):
        data[packet + 1 : packet + 3] = b"\x1f\xff"
    first.write_bytes(data)
    whole = joined(tmp_path / "whole.ts", first, write_video(tmp_path / "2.ts", TIMES))
    with VideoSource(str(whole)) as source:
        assert [int(number_of(f.image)) for f in source.frames()] == list(range(40))
        assert source.parts_lost == 1


def test_a_file_that_can_no_longer_be_read_is_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.ts", [n / 25 for n in range(400)])
    with VideoSource(str(path)) as source:
        frames = source.frames()
        next(frames)

        def fail(*_: object) -> bytes:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(TransportStream, "_take", fail)
        left = len(list(frames))
        assert left < 399
        assert source.complaints(left + 1) == [
            f"it cannot be read beyond frame {left + 1}: input/output error"
        ]


def test_what_the_decoder_holds_comes_before_a_cut(tmp_path: Path) -> None:
    path = tmp_path / "b.ts"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"bf": "3", "g": "12"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for number in range(48):
            picture = av.VideoFrame.from_ndarray(numbered_picture(number), format="bgr24")
            picture.pts = number
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))
    left_out = 0

    def through(packets: Iterator[VideoPacket]) -> Iterator[VideoPacket | None]:
        nonlocal left_out
        skipping = False
        for place, packet in enumerate(packets):
            skipping = place == 20 or (skipping and not packet.is_keyframe)
            if skipping:
                left_out += 1
                continue
            if left_out and packet.is_keyframe and place < 30:
                yield None
            yield packet

    with VideoSource(str(path)) as source:
        frames = list(source.decoded(through=through))
        stamps = [source.stamp_s(frame) for frame in frames]
    shown = [int(number_of(bgr(to_picture(frame)))) for frame in frames]
    assert left_out > 0
    assert len(shown) == 48 - left_out
    assert shown == sorted(set(shown))
    first = stamps[0] or 0.0
    assert [(stamp or 0.0) - first for stamp in stamps] == pytest.approx([n / 25 for n in shown])
