"""A recording on disk: video and lines stay in step, over crashes too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from platestream import pixels
from platestream.errors import OutputError
from platestream.messages import RenderedFrame
from platestream.settings import WriterSettings
from platestream.video import VideoSource
from services.writer.recording import Recording
from tests.conftest import number_of, numbered_picture


def frame(frame_id: int, width: int = 320, height: int = 180) -> RenderedFrame:
    return RenderedFrame(
        frame_id=frame_id,
        captured_at_ms=40 * frame_id,
        pts_s=(frame_id - 101) / 25,
        width=width,
        height=height,
        rate="25/1",
        pixels=pixels.pack(numbered_picture(frame_id, width, height), "raw"),
        reading_frame_id=frame_id - 1,
        overlay_age_ms=40,
    )


def check(video: Path, lines: Path, ids: range) -> None:
    with VideoSource(str(video)) as source:
        assert [number_of(f.image) for f in source.frames()] == list(ids)
    written = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [line["frame_id"] for line in written] == list(ids)


def test_a_line_for_every_frame(tmp_path: Path) -> None:
    video, lines = tmp_path / "a.mp4", tmp_path / "a.jsonl"
    recording = Recording(video, lines, WriterSettings())
    for frame_id in range(101, 111):
        recording.write(frame(frame_id))
    recording.close()
    check(video, lines, range(101, 111))
    first = json.loads(lines.read_text().splitlines()[0])
    assert first == {
        "frame_id": 101,
        "pts_s": 0.0,
        "reading_frame_id": 100,
        "overlay_age_ms": 40,
        "plates": [],
    }


@pytest.mark.parametrize("torn", ["nothing", "line", "lines", "video", "both"])
def test_a_new_writer_goes_on_where_files_agree(tmp_path: Path, torn: str) -> None:
    video, lines = tmp_path / "a.mp4", tmp_path / "a.jsonl"
    dead = Recording(video, lines, WriterSettings())
    for frame_id in range(101, 121):
        dead.write(frame(frame_id))
    if torn in ("line", "both"):
        lines.write_bytes(lines.read_bytes()[:-20])
    if torn == "lines":
        lines.write_text("".join(lines.read_text().splitlines(keepends=True)[:7]))
    if torn in ("video", "both"):
        video.write_bytes(video.read_bytes()[:-700])
    alive = Recording(video, lines, WriterSettings(), resume=True)
    assert 7 <= alive.kept <= 20
    assert alive.last_frame_id == 100 + alive.kept
    for frame_id in range(alive.last_frame_id + 1, 131):
        alive.write(frame(frame_id))
    alive.close()
    check(video, lines, range(101, 131))


def test_nothing_usable_left_means_a_fresh_start(tmp_path: Path) -> None:
    video, lines = tmp_path / "a.mp4", tmp_path / "a.jsonl"
    video.write_bytes(b"rubbish")
    lines.write_text("rubbish\n")
    recording = Recording(video, lines, WriterSettings(), resume=True)
    assert recording.kept == 0
    for frame_id in range(101, 105):
        recording.write(frame(frame_id))
    recording.close()
    check(video, lines, range(101, 105))


def test_a_camera_that_changes_its_size_does_not_end_the_file(tmp_path: Path) -> None:
    video, lines = tmp_path / "a.mp4", tmp_path / "a.jsonl"
    recording = Recording(video, lines, WriterSettings())
    recording.write(frame(101))
    recording.write(frame(102, 640, 360))
    recording.write(frame(103))
    recording.close()
    check(video, lines, range(101, 104))


def test_a_full_disk_is_said_and_the_video_stays_playable(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    recording = Recording(tmp_path / "a.mp4", full, WriterSettings())
    with pytest.raises(OutputError, match=r"/dev/full.*[Nn]o space"):
        recording.write(frame(101))
