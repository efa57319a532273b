"""``platestream run`` through real processes: what it writes, and what it says of bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import pytest

from platestream import cli, options, run_command
from platestream.demo import built_in_clip
from platestream.embedded_redis import EmbeddedRedis
from platestream.job import Ages, Job, Result
from platestream.video import VideoSource
from tests import preloaded
from tests.end_to_end.running import refused
from tests.numbered import number_of, numbered_picture
from tests.sources import part_of_clip


def platestream(
    *arguments: str | Path, cwd: Path, largest_file: int | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs the command line as a user does; ``largest_file``: bytes that files may grow to."""

    env = {k: v for k, v in os.environ.items() if not k.startswith(("PLATESTREAM", "REDIS"))}
    command = [sys.executable, "-m", "platestream", *map(str, arguments)]
    more = {"cwd": cwd, "env": {**env, **environment}, "capture_output": True, "text": True}
    if largest_file is not None:
        command = preloaded.limited(command, largest_file)
    return preloaded.run(command, timeout=110, **more)


def said(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    """The one object that --json prints."""
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 1, done.stdout
    return json.loads(lines[0])


@pytest.mark.parametrize(
    ("rate", "frames"),
    [pytest.param(Fraction(25), 45, marks=pytest.mark.soak), (Fraction(30_000, 1001), 45)],
)
def test_every_frame_once_in_order_at_the_same_rate(
    make_video: Callable[..., Path],
    tmp_path: Path,
    rate: Fraction,
    frames: int,
    blind_networks: dict[str, str],
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=frames, rate=rate)
    out, lines = tmp_path / "out.mp4", tmp_path / "lines.jsonl"
    command = ("run", source, "--output", out, "--readings", lines, "--json")
    result = said(platestream(*command, cwd=tmp_path, **blind_networks))
    assert result["frames_in"] == result["frames_written"] == frames
    assert result["frames_lost"] == 0
    with VideoSource(str(out)) as video:
        assert (video.width, video.height, video.rate) == (320, 180, rate)
        assert [number_of(f.image) for f in video.frames()] == list(range(frames))
    written = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [line["frame_id"] for line in written] == list(range(1, frames + 1))
    assert all(
        line["overlay_age_ms"] >= 0 for line in written if line["overlay_age_ms"] is not None
    )
    assert written[-1]["reading_frame_id"] is not None


def test_of_a_file_one_frame_in_so_many_is_read(
    make_video: Callable[..., Path], tmp_path: Path, blind_networks: dict[str, str]
) -> None:
    source, out = make_video(tmp_path / "in.mp4", frames=45), tmp_path / "out.mp4"
    command = ("run", source, "--output", out, "--read-every", "4", "--ocr-replicas", "2")
    result = said(platestream(*command, "--json", cwd=tmp_path, **blind_networks))
    assert (result["frames_written"], result["frames_lost"]) == (45, 0)
    lines = (tmp_path / "out.readings.jsonl").read_text().splitlines()
    assert len(lines) == 45
    drawn = {json.loads(line)["reading_frame_id"] for line in lines} - {None}
    assert drawn
    assert drawn <= set(range(1, 46, 4))


def test_segments_hold_together_what_one_file_would(
    make_video: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=60)
    (tmp_path / "out").mkdir()
    command = ["run", source, "--output", tmp_path / "out" / "o.mp4", "--set",
               "writer.segment_s=1", "--ocr-replicas", "0"]  # fmt: skip
    result = said(platestream(*command, "--json", cwd=tmp_path))
    assert (result["frames_written"], result["frames_lost"]) == (60, 0)
    names = [f"o-0000{number}" for number in (1, 2, 3)]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(
        name + ending for name in names for ending in (".mp4", ".readings.jsonl")
    )
    seen = []
    for name in names:
        with VideoSource(str(tmp_path / "out" / f"{name}.mp4")) as video:
            seen += [number_of(f.image) for f in video.frames()]
    assert seen == list(range(60))
    again = refused(capsys, monkeypatch, tmp_path, *command)
    assert "o-00001.mp4' exists already" in again


def test_a_disk_that_takes_nothing_is_one_clear_sentence(
    make_video: Callable[..., Path], tmp_path: Path
) -> None:
    """Files may not grow beyond a few kilobytes, as on a full disk."""
    source = make_video(tmp_path / "in.mp4", frames=60)
    done = platestream(
        "run", source, "--output", "o.mp4", "--ocr-replicas", "0", "--json",
        "--set", "writer.patience_s=0.5", "--set", "streams.pixels=jpeg", cwd=tmp_path,
        largest_file=6_000,  # a ring of pictures would be a larger one
    )  # fmt: skip
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert "cannot write 'o." in error
    assert "gave up after" in error
    assert "can be played" in error
    assert "Traceback" not in done.stderr
    with VideoSource(str(tmp_path / "o.mp4")) as video:
        shown = [number_of(f.image) for f in video.frames()]
    assert 0 < len(shown) < 60
    assert shown == list(range(len(shown)))


@pytest.mark.parametrize("read_every", ["4", pytest.param("1", marks=pytest.mark.soak)])
def test_the_demo_reads_its_plates(tmp_path: Path, read_every: str) -> None:
    every = {"PLATESTREAM_OCR__READ_EVERY": read_every}
    result = said(platestream("demo", "--json", cwd=tmp_path, **every))
    assert result["frames_written"] == 300
    assert len(result["right"]) >= 5  # type: ignore[arg-type]
    assert len(result["wrong"]) <= 2  # type: ignore[arg-type]
    reader = cv2.VideoCapture(str(tmp_path / "out" / "demo.mp4"))
    assert int(reader.get(cv2.CAP_PROP_FRAME_COUNT)) == 300
    assert reader.get(cv2.CAP_PROP_FPS) == pytest.approx(30)


@pytest.mark.soak
def test_the_overlay_is_drawn(tmp_path: Path) -> None:
    clip = part_of_clip(tmp_path / "begin.mp4", 70, 56)
    out = tmp_path / "o.mp4"
    done = platestream("run", clip, "--output", out, "--json", cwd=tmp_path)
    assert {p["text"] for p in said(done)["plates"]} & {  # type: ignore[attr-defined]
        p["text"] for p in built_in_clip()[1]["plates"]
    }
    with VideoSource(str(clip)) as before, VideoSource(str(out)) as after:
        pairs = zip(before.frames(), after.frames(), strict=True)
        changed = [int((cv2.absdiff(a.image, b.image).max(2) > 90).sum()) for a, b in pairs]
    assert changed[0] < 200  # nothing has been read yet, so nothing is drawn
    assert max(changed) > 1500


def test_without_ocr_the_video_still_comes(make_video: Callable[..., Path], tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=50)
    out = tmp_path / "out.mp4"
    result = said(
        platestream("run", source, "--output", out, "--ocr-replicas", "0", "--json", cwd=tmp_path)
    )
    assert result["frames_written"] == 50
    assert result["overlay_age_ms"] == {"p50": None, "p95": None}


@pytest.mark.soak
def test_two_replicas_and_a_named_redis(
    make_video: Callable[..., Path],
    tmp_path: Path,
    any_server: EmbeddedRedis,
    blind_networks: dict[str, str],
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=40)
    url = any_server.url
    for turn in range(2):  # the second run finds what the first left, and is not confused by it
        result = said(
            platestream(
                "run",
                source,
                "--output",
                tmp_path / f"{turn}.mp4",
                "--ocr-replicas",
                "2",
                "--camera",
                "gate-1",
                "--redis",
                url,
                "--json",
                cwd=tmp_path,
                **blind_networks,
            )
        )
        assert result["frames_written"] == 40
    status = platestream("status", "--redis", url, "--json", cwd=tmp_path)
    (camera,) = [json.loads(line) for line in status.stdout.splitlines()]
    assert camera["camera"] == "gate-1"
    assert camera["counts"]["frames_written"] == 40
    assert camera["facts"]["last_frame_id"] == "80"  # frame ids go on for ever
    assert camera["streams"]["frames"]["groups"]["ocr"]["lag"] == 0


def test_sequential_does_the_same_one_after_the_other(tmp_path: Path) -> None:
    first, count = 70, 56  # while two cars come near, until the first has gone
    begin = part_of_clip(tmp_path / "begin.mp4", first, count)
    out = tmp_path / "o.mp4"
    command = ["run", begin, "--sequential", "--output", out, "--json"]
    result = said(platestream(*command, cwd=tmp_path))
    assert result["frames_written"] == count
    assert result["overlay_age_ms"] == {"p50": 0, "p95": 0}
    passed = {plate["text"] for plate in built_in_clip()[1]["plates"] if plate["first_frame"] < 10}
    assert len(passed) == 2
    assert passed <= {plate["text"] for plate in result["plates"]}  # type: ignore[attr-defined]


def test_live_mode_paces_a_file(make_video: Callable[..., Path], tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=40)
    command = ["run", source, "--live", "--output", tmp_path / "o.mp4", "--ocr-replicas", "0"]
    result = said(platestream(*command, "--json", cwd=tmp_path))
    assert result["frames_in"] == 40
    assert result["wall_s"] >= 39 / 25  # type: ignore[operator]


def test_an_odd_sized_video_is_written_whole(
    make_video: Callable[..., Path], tmp_path: Path
) -> None:
    source = tmp_path / "odd.mkv"
    with av.open(str(source), "w") as file:
        stream = file.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 481, 271, "bgr0"
        for number in range(12):
            picture = numbered_picture(number, 481, 271)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        file.mux(stream.encode(None))
    done = platestream(
        "run", source, "--output", tmp_path / "o.mp4", "--ocr-replicas", "0", "--json", cwd=tmp_path
    )
    assert said(done)["frames_written"] == 12
    assert "even sides" in done.stderr


def cut(make_video: Callable[..., Path], folder: Path) -> Path:
    whole = make_video(folder / "whole.mp4", frames=60).read_bytes()
    path = folder / "cut.mp4"
    path.write_bytes(whole[: whole.index(b"mdat") + (len(whole) - whole.index(b"mdat")) // 2])
    return path


def test_a_truncated_video_gives_what_it_holds_and_says_so(
    make_video: Callable[..., Path], tmp_path: Path
) -> None:
    source = cut(make_video, tmp_path)
    out = tmp_path / "o.mp4"
    done = platestream(
        "run", source, "--output", out, "--ocr-replicas", "0", "--json", cwd=tmp_path
    )
    result = said(done)
    assert 5 < result["frames_written"] < 60  # type: ignore[operator]
    assert result["frames_lost"] == 0
    assert "promises 60 frames" in str(result["warnings"])
    assert "promises 60 frames" in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("missing.mp4", None, "no such file"),
        ("text.mp4", b"only words\n" * 99, "not a video"),
        ("empty.mp4", b"", "empty"),
    ],
)
def test_bad_sources_are_one_clear_sentence(
    tmp_path: Path,
    name: str,
    content: bytes | None,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    error = refused(capsys, monkeypatch, tmp_path, "run", name, "--output", "o.mp4")
    assert sentence in error
    assert name in error
    assert not (tmp_path / "o.mp4").exists()


def test_outputs_are_refused_before_anything_starts(
    make_video: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=5)
    before = source.read_bytes()
    (tmp_path / "there.mp4").write_text("precious")
    for more, sentence in (
        (["--output", "no/where.mp4"], "does not exist"),
        (["--output", "there.mp4"], "--force"),
        (["--output", "in.mp4", "--force"], "is the source"),
        (["--output", "a.mp4", "--readings", "in.mp4", "--force"], "is the source"),
        (["--output", "a.mp4", "--readings", "./a.mp4"], "is the video"),
        (["--output", "a.mp4", "--force", "--sequential", "--readings", "in.mp4"], "is the source"),
    ):
        assert sentence in refused(capsys, monkeypatch, tmp_path, "run", source, *more)
    assert (tmp_path / "there.mp4").read_text() == "precious"
    assert source.read_bytes() == before
    command = ["run", source, "--output", "there.mp4", "--force", "--ocr-replicas", "0"]
    forced = platestream(*command, "--json", cwd=tmp_path)
    assert said(forced)["frames_written"] == 5


def test_an_unreachable_redis_is_one_clear_sentence(
    make_video: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=5)
    url = "redis://127.0.0.1:1/0"
    done = platestream("run", source, "--output", "o.mp4", "--redis", url, "--json", cwd=tmp_path)
    assert done.returncode == 2
    assert url in json.loads(done.stdout)["error"]
    assert "Traceback" not in done.stderr
    assert "cannot reach Redis" in refused(capsys, monkeypatch, tmp_path, "status", "--redis", url)


def test_a_run_takes_redis_and_camera_from_the_settings_file(
    make_video: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[Job] = []
    nothing = Result(0, 0, 1.0, Ages(), [], [], [])
    monkeypatch.setattr(run_command, "run_job", lambda job, _: given.append(job) or nothing)
    monkeypatch.delenv("REDIS_URL", raising=False)
    source = make_video(tmp_path / "in.mp4", frames=5)
    url = "redis://127.0.0.1:1/7"
    command = ["run", str(source), "--output", "o.mp4", "--json"]
    monkeypatch.chdir(tmp_path)
    assert options.invoke_app(cli.app, "platestream", command) == 0
    (tmp_path / "platestream.toml").write_text(f'camera = "gate"\n[redis]\nurl = "{url}"\n')
    assert options.invoke_app(cli.app, "platestream", command) == 0
    more = ["--camera", "x", "--set", "redis.url=redis://other"]
    assert options.invoke_app(cli.app, "platestream", [*command, *more]) == 0
    capsys.readouterr()
    assert [(job.redis_url, job.camera) for job in given] == [
        (None, "in"), (url, "gate"), ("redis://other", "x")
    ]  # fmt: skip


def test_a_sequential_run_of_no_video_overwrites_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.mp4").write_bytes(built_in_clip()[0].read_bytes()[:3000])
    (tmp_path / "o.readings.jsonl").write_text("precious")
    command = ("run", tmp_path / "broken.mp4", "--output", "o.mp4", "--sequential", "--force")
    assert "broken.mp4" in refused(capsys, monkeypatch, tmp_path, *command)
    assert (tmp_path / "o.readings.jsonl").read_text() == "precious"


def test_weights_that_are_not_ours_end_a_run(
    make_video: Callable[..., Path], tmp_path: Path
) -> None:
    """Missing and damaged ones are told apart by ``tests/platestream/vision/test_weights.py``."""
    source = make_video(tmp_path / "in.mp4", frames=5)
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"rubbish" * 100)
    done = platestream(
        "run", source, "--output", "o.mp4", "--json", cwd=tmp_path,
        PLATESTREAM_OCR__RECOGNIZER_WEIGHTS=str(weights),
    )  # fmt: skip
    assert done.returncode == 2
    assert "w.safetensors" in json.loads(done.stdout)["error"]
    assert "Traceback" not in done.stderr
