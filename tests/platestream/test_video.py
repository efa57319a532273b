"""Video: what goes in comes out; broken input is said; a crash leaves a playable file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import get_args

import av
import cv2
import numpy as np
import pytest

from platestream import cores
from platestream.errors import OutputError, SettingsError, SourceError
from platestream.settings import WriterSettings
from platestream.video import (
    OtherHeaderError,
    Pacer,
    VideoEncoder,
    VideoSource,
    codecs,
    scan,
)
from tests.conftest import wait_until
from tests.numbered import number_of, numbered_picture


def numbers(path: Path) -> list[int]:
    with VideoSource(str(path)) as source:
        return [number_of(frame.image) for frame in source.frames()]


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30_000, 1001), Fraction(12)])
def test_frames_rate_and_times_survive(
    make_video: Callable[..., Path], tmp_path: Path, rate: Fraction
) -> None:
    path = make_video(tmp_path / "a.mp4", frames=30, rate=rate)
    with VideoSource(str(path)) as source:
        assert (source.width, source.height, source.rate, source.promised) == (320, 180, rate, 30)
        frames = list(source.frames())
    assert [number_of(frame.image) for frame in frames] == list(range(30))
    assert frames[-1].pts_s == pytest.approx(float(29 / rate), abs=1e-4)
    reader = cv2.VideoCapture(str(path))
    assert int(reader.get(cv2.CAP_PROP_FRAME_COUNT)) == 30
    assert reader.get(cv2.CAP_PROP_FPS) == pytest.approx(float(rate), abs=0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted as Linux shows them")
def test_few_threads_decode_however_many_cores_there_are(
    make_video: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "share", lambda processes: 3)

    def decoding() -> int:
        names = (task / "comm" for task in Path("/proc/self/task").iterdir())
        return sum(name.read_text().startswith("av:") for name in names)

    with VideoSource(str(make_video(tmp_path / "a.mp4", frames=20))) as source:
        before = decoding()
        next(source.frames())
        # a thread names itself, when it comes to run
        wait_until(lambda: decoding() - before >= 3, what="three threads that decode")
        assert decoding() - before == 3


def test_skipped_frames_keep_their_times(make_video: Callable[..., Path], tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=20)
    with VideoSource(str(path)) as source:
        frames = list(source.frames(skip=15))
    assert [number_of(frame.image) for frame in frames] == [15, 16, 17, 18, 19]
    assert frames[0].pts_s == pytest.approx(15 / 25, abs=1e-4)


def test_browsers_can_play_it(make_video: Callable[..., Path], tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4")
    with av.open(str(path)) as file:
        context = file.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
    start = path.read_bytes()
    assert start.index(b"moov") < start.index(b"mdat")  # the index lies in front


def test_variable_rates_keep_their_times(tmp_path: Path) -> None:
    path, times = tmp_path / "a.mp4", [0.0, 0.04, 0.5, 0.52, 1.7]
    encoder = VideoEncoder(path, 64, 48, Fraction(25))
    for number, pts_s in enumerate(times):
        encoder.write(numbered_picture(number, 64, 48), pts_s)
    encoder.close()
    with VideoSource(str(path)) as source:
        assert [f.pts_s for f in source.frames()] == pytest.approx(times, abs=1e-4)


def test_an_odd_size_is_padded_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    encoder = VideoEncoder(path, 481, 271, Fraction(25))
    for number in range(5):
        encoder.write(numbered_picture(number, 481, 271), number / 25)
    encoder.close()
    with VideoSource(str(path)) as source:
        assert (source.width, source.height) == (482, 272)
        assert [number_of(f.image[:271, :481]) for f in source.frames()] == list(range(5))


def test_a_killed_encoder_leaves_what_it_wrote(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    encoder = VideoEncoder(path, 320, 180, Fraction(25))
    for number in range(20):
        encoder.write(numbered_picture(number), number / 25)
    killed = tmp_path / "killed.mp4"
    killed.write_bytes(path.read_bytes())  # as a process that is killed now would leave it
    assert len(scan(killed).ends) == 19
    assert numbers(killed) == list(range(19))


@pytest.mark.parametrize("cut", [0, 1, 300])
def test_a_torn_file_is_resumed_without_a_gap_or_a_repeat(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.mp4"
    first = VideoEncoder(path, 320, 180, Fraction(25))
    for number in range(20):
        first.write(numbered_picture(number), number / 25)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - cut])
    there = scan(path)
    kept = len(there.ends)
    assert 15 <= kept <= 19
    second = VideoEncoder(path, 320, 180, Fraction(25), kept=there)
    for number in range(kept, 35):
        second.write(numbered_picture(number), number / 25)
    second.close()
    assert numbers(path) == list(range(35))


def test_other_settings_do_not_go_on_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    first = VideoEncoder(path, 320, 180, Fraction(25))
    for number in range(5):
        first.write(numbered_picture(number), number / 25)
    first.abandon()
    before = path.read_bytes()
    for width, preset in ((320, "ultrafast"), (640, "superfast")):
        with pytest.raises(OtherHeaderError, match=r"a\.mp4"):
            VideoEncoder(path, width, 180, Fraction(25), preset=preset, kept=scan(path))
    assert path.read_bytes() == before


def test_colours_survive_and_are_declared(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    picture = np.zeros((180, 322, 3), np.uint8)
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (40, 160, 220)]
    for place, colour in enumerate(colours):
        picture[:, 50 * place : 50 * place + 50] = colour
    encoder = VideoEncoder(path, 322, 180, Fraction(25), crf=10)
    for number in range(3):
        encoder.write(picture, number / 25)
    encoder.close()
    with av.open(str(path)) as file:
        context = file.streams.video[0].codec_context
        assert (context.color_range, context.colorspace) == (1, 6)  # limited, BT.601
    with VideoSource(str(path)) as source:
        (image, *_) = (frame.image for frame in source.frames())
    for place, colour in enumerate(colours):
        seen = image[20:160, 50 * place + 10 : 50 * place + 40].reshape(-1, 3).mean(0)
        assert seen == pytest.approx(colour, abs=6)


def test_encoders_that_work_are_chosen_and_others_explained() -> None:
    assert codecs.working()[-1] == "libx264"
    assert codecs.choose("libx264") == "libx264"
    assert codecs.choose("auto") == codecs.working()[0]
    missing = next(name for name in codecs.NAMES if name not in codecs.working())
    with pytest.raises(SettingsError, match=rf"'{missing}' does not work here \(.*libx264"):
        codecs.choose(missing)


def test_the_settings_name_the_encoders_there_are() -> None:
    named = get_args(WriterSettings.model_fields["codec"].annotation)
    assert set(named) == {"auto", *codecs.NAMES}


def test_grey_video_becomes_bgr(tmp_path: Path) -> None:
    path = tmp_path / "grey.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48), False)
    for _ in range(3):
        writer.write(np.full((48, 64), 120, np.uint8))
    writer.release()
    with VideoSource(str(path)) as source:
        frames = list(source.frames())
    assert len(frames) == 3
    assert frames[0].image.shape == (48, 64, 3)
    assert abs(int(frames[0].image.mean()) - 120) < 8


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        (b"", "empty"),
        (b"this is a text, whatever its name says\n" * 50, "not a video"),
        (b"\0" * 5000, "not a video"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "bad.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=said) as caught:
        VideoSource(str(path))
    assert "bad.mp4" in str(caught.value)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="folder"):
        VideoSource(str(tmp_path))


def test_a_playlist_in_disguise_fetches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.m3u8"
    path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(SourceError):
        VideoSource(str(path))


def test_a_file_cut_off_before_its_index_is_refused(
    make_video: Callable[..., Path], tmp_path: Path
) -> None:
    whole = make_video(tmp_path / "a.mp4").read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: whole.index(b"moov") + 40])
    with pytest.raises(SourceError, match=r"cut\.mp4"):
        VideoSource(str(cut))


def test_a_truncated_file_gives_what_it_holds(
    make_video: Callable[..., Path], tmp_path: Path
) -> None:
    whole = make_video(tmp_path / "a.mp4", frames=40).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: whole.index(b"mdat") + (len(whole) - whole.index(b"mdat")) // 2])
    with VideoSource(str(cut)) as source:
        read = [number_of(frame.image) for frame in source.frames()]
        assert source.promised == 40
    assert 5 < len(read) < 40
    assert read[:5] == [0, 1, 2, 3, 4]


def test_an_unwritable_output_is_named(tmp_path: Path) -> None:
    encoder = VideoEncoder(tmp_path / "missing" / "a.mp4", 64, 48, Fraction(25))
    with pytest.raises(OutputError, match=r"missing/a\.mp4"):
        encoder.write(numbered_picture(0, 64, 48), 0.0)


def test_a_pacer_releases_no_frame_early() -> None:
    import time

    pacer = Pacer()
    began = time.monotonic()
    for number in range(6):
        pacer.wait(number * 0.02)
        assert time.monotonic() - began >= number * 0.02 - 0.002


def test_pictures_too_small_for_the_encoder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="2x2 are too small"):
        VideoEncoder(tmp_path / "a.mp4", 2, 2, Fraction(5))


def test_a_matroska_that_was_cut_off_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        for number in range(40):
            picture = np.full((64, 64, 3), 6 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    with VideoSource(str(path)) as whole:
        assert whole.complaints(len(list(whole.frames()))) == []
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with VideoSource(str(path)) as half:
        count = len(list(half.frames()))
        assert 5 < count < 30
        (said,) = half.complaints(count)
    assert "promises 8.0 s" in said
