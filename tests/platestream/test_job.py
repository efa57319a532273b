"""Runs: what a camera is called when nobody says; where files go then; what is kept of plates."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from platestream import job
from platestream.job import Ages, PlateRead, PlatesRead, Result, camera_name
from platestream.messages import Passage
from tests.end_to_end.running import refused


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


@pytest.mark.parametrize("command", [["run", "clip.mp4"], ["demo"]])
def test_a_file_in_place_of_the_default_folder_is_said(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
) -> None:
    (tmp_path / "out").write_text("")
    said = refused(capsys, monkeypatch, tmp_path, *command)
    assert said == "'out' is a file, and no folder; name a video with --output"


def _passage(number: int, *, accepted: bool = True, crop: bytes = b"") -> Passage:
    return Passage(
        passage_id=number,
        track_id=number,
        text="A123BC77",
        confidence=0.9,
        accepted=accepted,
        first_frame_id=10 * number,
        last_frame_id=10 * number + 5,
        first_captured_at_ms=1,
        last_captured_at_ms=2,
        frames_seen=6,
        readings=6,
        crop=crop,
        crop_frame_id=10 * number if crop else None,
    )


def test_plates_are_in_the_order_of_their_first_frames_and_each_is_there_once() -> None:
    plates = PlatesRead(map(_passage, (3, 1, 2)))
    plates.take(_passage(2))  # again, after an outage
    plates.take(_passage(4, accepted=False))
    assert len(plates) == 3
    assert plates.in_order() == [
        PlateRead(10 * n, n, 10 * n + 5, "A123BC77", 0.9) for n in (1, 2, 3)
    ]


def test_what_is_kept_of_a_plate_is_small() -> None:
    """A live run keeps its plates to its end, which may be weeks away: without pictures."""
    plates = PlatesRead()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(1, 5001):
            plates.take(_passage(number, crop=os.urandom(4000)))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(plates) == 5000
    assert (after - before) / 5000 < 600  # bytes


def test_of_very_many_plates_the_newest_are_kept_and_all_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As over weeks; and Redis may come back without the last of them."""
    monkeypatch.setattr(job, "MOST_PLATES", 100)
    plates = PlatesRead(map(_passage, range(1, 251)))
    for number in range(240, 301):
        plates.take(_passage(number))
    assert (len(plates), plates.left_out) == (300, 200)
    assert [p.passage_id for p in plates.in_order()] == list(range(201, 301))
    plates.take(_passage(300, accepted=False))
    assert (len(plates), plates.left_out) == (299, 200)
    kept = plates.in_order()
    said = Result(1, 1, 1.0, Ages(), kept, [], [], plates.left_out).as_dict()
    assert said["plates_left_out"] == 200
    assert isinstance(said["plates"], list)
    assert len(said["plates"]) == 99


def test_a_week_of_plates_takes_a_few_megabytes() -> None:
    plates = PlatesRead()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(1, 3 * job.MOST_PLATES):
            plates.take(_passage(number))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 600 * job.MOST_PLATES


@pytest.mark.parametrize("frames", [1, 2, 5, 400])
def test_percentiles_of_ages_are_as_of_a_list_of_them(frames: int) -> None:
    listed = np.random.default_rng(frames).integers(0, 300, frames)
    ages = Ages()
    for age in listed:
        ages.add(int(age))
    for q in (0, 50, 95, 100):
        assert ages.percentile(q) == round(float(np.percentile(listed, q)))
    assert Ages().percentile(50) is None
