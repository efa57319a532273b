"""A segment on disk: video and lines stay in step, over crashes and full disks."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

from platestream import pixels
from platestream.append_file import DiskError, LostFileError
from platestream.colour import BT601, Colour
from platestream.messages import RenderedFrame
from platestream.outputs import OutputFiles
from platestream.picture import form_of, i420
from platestream.settings import WriterSettings
from platestream.video import VideoSource, finish_video, scan
from services.writer.segment import Segment
from tests.numbered import number_of, numbered_picture


def frame(frame_id: int, width: int = 320, height: int = 180, mode: str = "file") -> RenderedFrame:
    return RenderedFrame(
        frame_id=frame_id,
        captured_at_ms=40 * frame_id,
        pts_s=(frame_id - 101) / 25,
        width=width,
        height=height,
        rate="25/1",
        mode=mode,
        pixels=pixels.pack(numbered_picture(frame_id, width, height), "raw"),
        reading_frame_id=frame_id - 1,
        overlay_age_ms=40,
    )


def segment(files: OutputFiles, *, resume: bool = False, **settings: object) -> Segment:
    return Segment(files, WriterSettings.model_validate(settings), "libx264", resume=resume)


def write(into: Segment, *frames: RenderedFrame) -> None:
    for one in frames:
        assert into.fits(one)
        into.add(pixels.unpack(one.pixels, one.width, one.height), one)
        into.flush()


def check(files: OutputFiles, ids: range) -> None:
    with VideoSource(str(files.video)) as source:
        assert [number_of(f.image) for f in source.frames()] == list(ids)
    written = [json.loads(line) for line in files.lines.read_text().splitlines()]
    assert [line["frame_id"] for line in written] == list(ids)


@pytest.fixture
def files(tmp_path: Path) -> OutputFiles:
    return OutputFiles(tmp_path / "a.mp4", tmp_path / "a.jsonl")


def test_a_line_for_every_frame(files: OutputFiles) -> None:
    one = segment(files)
    write(one, *map(frame, range(101, 111)))
    one.end()
    check(files, range(101, 111))
    assert json.loads(files.lines.read_text().splitlines()[0]) == {
        "frame_id": 101,
        "pts_s": 0.0,
        "reading_frame_id": 100,
        "overlay_age_ms": 40,
        "plates": [],
    }


def test_a_frame_is_safe_when_it_is_whole_in_both_files(files: OutputFiles) -> None:
    one = segment(files)
    for frame_id in range(101, 106):
        write(one, frame(frame_id))
        assert one.safe_frame_id == (frame_id - 1 if frame_id > 101 else 0)
        assert len(scan(files.video).ends) == frame_id - 101
    one.end()
    assert one.safe_frame_id == 105


@pytest.mark.parametrize("torn", ["nothing", "line", "lines", "video", "both"])
def test_a_new_writer_goes_on_where_files_agree(files: OutputFiles, torn: str) -> None:
    dead = segment(files)
    write(dead, *map(frame, range(101, 121)))
    dead.drop()
    video, lines = files.video, files.lines
    if torn in ("line", "both"):
        lines.write_bytes(lines.read_bytes()[:-20])
    if torn == "lines":
        lines.write_text("".join(lines.read_text().splitlines(keepends=True)[:7]))
    if torn in ("video", "both"):
        video.write_bytes(video.read_bytes()[:-700])
    alive = segment(files, resume=True)
    assert 7 <= alive.kept <= 20
    assert alive.last_frame_id == alive.safe_frame_id == 100 + alive.kept
    write(alive, *map(frame, range(alive.last_frame_id + 1, 131)))
    alive.end()
    check(files, range(101, 131))
    finish_video(video)
    check(files, range(101, 131))


def test_every_byte_that_a_crash_may_leave_is_gone_on_with(files: OutputFiles) -> None:
    dead = segment(files)
    write(dead, *map(frame, range(101, 106)))
    dead.drop()
    video, lines = files.video.read_bytes(), files.lines.read_bytes()
    whole = [len(scan(files.video).header), *scan(files.video).ends]
    for cut in {*whole, *(end - 1 for end in whole), *range(0, len(video), 97)}:
        files.video.write_bytes(video[:cut])
        files.lines.write_bytes(lines)
        alive = segment(files, resume=True)
        assert alive.kept == sum(end <= cut for end in whole[1:])
        write(alive, *map(frame, range(101 + alive.kept, 108)))
        alive.end()
        check(files, range(101, 108))


def test_times_go_on_over_a_restart(files: OutputFiles) -> None:
    dead = segment(files)
    write(dead, *map(frame, range(103, 113)))  # its first frame is the video's zero
    dead.drop()
    alive = segment(files, resume=True)
    write(alive, *map(frame, range(alive.last_frame_id + 1, 123)))
    alive.end()
    with VideoSource(str(files.video)) as source:
        times = [f.pts_s for f in source.frames()]
    assert times == pytest.approx([n / 25 for n in range(20)], abs=1e-4)


def test_what_another_process_holds_is_cut_where_it_is_whole_and_not_added_to(
    files: OutputFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.writer.segment._HANDOVER_S", 0.0)
    stopped = segment(files)
    write(stopped, *map(frame, range(101, 111)))
    other = segment(files, resume=True)
    assert other.busy
    assert (other.kept, other.last_frame_id) == (9, 109)
    assert not other.fits(frame(110))
    other.end()
    stopped.drop()  # as one does that wakes, and has been replaced
    check(files, range(101, 110))
    assert not segment(files, resume=True).busy


def test_nothing_usable_left_means_a_fresh_start(files: OutputFiles) -> None:
    files.video.write_bytes(b"rubbish")
    files.lines.write_text("rubbish\n")
    one = segment(files, resume=True)
    assert one.kept == 0
    write(one, *map(frame, range(101, 105)))
    one.end()
    check(files, range(101, 105))


def test_a_finished_file_is_not_added_to(files: OutputFiles) -> None:
    one = segment(files)
    write(one, *map(frame, range(101, 105)))
    one.end()
    finish_video(files.video)
    again = segment(files, resume=True)
    assert (again.kept, again.last_frame_id) == (4, 104)
    assert not again.fits(frame(105))


@pytest.mark.parametrize(
    ("settings", "last"),
    [({"segment_s": 0.4}, 110), ({"segment_mib": 0.003}, None), ({"segment_s": 0}, 140), ({}, 140)],
)
def test_limits_end_a_segment(
    files: OutputFiles, settings: dict[str, object], last: int | None
) -> None:
    one = segment(files, **settings)
    for frame_id in range(101, 141):
        if not one.fits(frame(frame_id)):
            break
        write(one, frame(frame_id))
    if last is None:
        assert files.video.stat().st_size >= 0.003 * 2**20
        assert one.last_frame_id < 140
    else:
        assert one.last_frame_id == last


def test_live_recordings_are_cut_if_nothing_is_said(files: OutputFiles) -> None:
    one = segment(files)
    write(one, frame(101, mode="live"))
    later = frame(102, mode="live").model_copy(update={"pts_s": 599.9})
    assert one.fits(later)
    assert not one.fits(later.model_copy(update={"pts_s": 600.0}))
    assert one.fits(later.model_copy(update={"pts_s": 600.0, "mode": "file"}))


def test_another_size_or_a_time_before_does_not_fit(files: OutputFiles) -> None:
    one = segment(files)
    write(one, *map(frame, range(101, 151)))
    assert not one.fits(frame(151, 640, 360))
    assert not one.fits(frame(151).model_copy(update={"pts_s": 0.1}))


@pytest.mark.parametrize("gap_s", [5.9 * 3600, 7 * 3600.0])
def test_times_are_right_after_a_long_silence(tmp_path: Path, gap_s: float) -> None:
    """In one file, or in the next where an MP4 does not hold so long a frame."""
    night = [frame(n, mode="live") for n in range(101, 111)]
    night += [one.model_copy(update={"pts_s": one.pts_s + gap_s}) for one in night]
    parts = [segment(OutputFiles(tmp_path / "1.mp4", tmp_path / "1.jsonl"), segment_s=0)]
    begins = [0.0]
    for one in night:
        if not parts[-1].fits(one):
            parts[-1].end()
            parts.append(segment(OutputFiles(tmp_path / "2.mp4", tmp_path / "2.jsonl")))
            begins.append(one.pts_s)
        write(parts[-1], one)
    parts[-1].end()
    times: list[float] = []
    for part, begin in zip(parts, begins, strict=True):
        finish_video(part.files.video)
        with av.open(str(part.files.video)) as video:
            stamps = (p.pts * p.time_base for p in video.demux(video=0) if p.pts is not None)
            times += [begin + float(stamp) for stamp in stamps]
    assert times == pytest.approx([one.pts_s for one in night], abs=1e-3)


def test_other_settings_than_before_the_restart_do_not_fit(files: OutputFiles) -> None:
    dead = segment(files)
    write(dead, *map(frame, range(101, 111)))
    dead.end()
    assert segment(files, resume=True).fits(frame(111))
    assert not segment(files, resume=True, preset="ultrafast").fits(frame(111))
    assert not segment(files, resume=True).fits(frame(111, 640, 360))
    check(files, range(101, 111))


@pytest.mark.parametrize("why", ["other settings", "an id used again"])
def test_what_is_not_gone_on_with_keeps_no_line_without_a_frame(
    files: OutputFiles, why: str
) -> None:
    """The frame comes again, and goes into the next segment."""
    dead = segment(files)
    write(dead, *map(frame, range(101, 111)))
    dead.drop()
    assert len(files.lines.read_text().splitlines()) == 10
    assert len(scan(files.video).ends) == 9
    alive = segment(files, resume=True, crf=30 if why == "other settings" else 23)
    assert not alive.fits(frame(110 if why == "other settings" else 105))
    alive.end()
    check(files, range(101, 110))


def test_a_disk_that_takes_nothing_loses_and_repeats_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "away"
    files = OutputFiles(folder / "a.mp4", folder / "a.jsonl")
    one = segment(files)
    one.add(numbered_picture(101), frame(101))
    for _ in range(3):
        with pytest.raises(DiskError, match=r"a\.jsonl.*[Nn]o such file"):
            one.flush()
    folder.mkdir()
    one.flush()
    write(one, *map(frame, range(102, 106)))
    one.end()
    check(files, range(101, 106))


def test_a_device_without_room_is_said(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    one = segment(OutputFiles(tmp_path / "a.mp4", full))
    one.add(numbered_picture(101), frame(101))
    with pytest.raises(DiskError, match=r"/dev/full.*[Nn]o space"):
        one.flush()


@pytest.mark.parametrize("which", ["video", "lines"])
def test_a_deleted_file_is_noticed(files: OutputFiles, which: str) -> None:
    one = segment(files)
    write(one, *map(frame, range(101, 105)))
    getattr(files, which).unlink()
    with pytest.raises(LostFileError, match="deleted"):
        write(one, frame(105))


def planes(frame_id: int, colour: Colour) -> RenderedFrame:
    picture = i420(numbered_picture(frame_id), colour)
    return frame(frame_id).model_copy(update={"pixels": pixels.pack(picture, "raw")})


def test_planes_keep_their_colour_over_a_restart_and_others_are_fitted_in(
    files: OutputFiles,
) -> None:
    wide = Colour("bt709", True)
    one = segment(files)
    write(one, *(planes(frame_id, wide) for frame_id in range(101, 106)))
    one.end()
    two = segment(files, resume=True)
    assert two.kept == 5
    write(two, planes(106, wide), planes(107, BT601), frame(108), planes(109, wide))
    two.end()
    check(files, range(101, 110))
    with VideoSource(str(files.video)) as source:
        seen = list(source.frames())
    assert {form_of(f.picture).colour for f in seen} == {wide}
    for one_frame in seen:
        assert np.abs(one_frame.image[100:].astype(int) - 90).mean() < 4
