"""The command line on pictures of every kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from platestream import cli, options
from training.synthesis.plate import render_plate

PLATE = render_plate("A301PO174", px_per_mm=0.4)


def pictures() -> dict[str, np.ndarray]:
    rgba = np.dstack([PLATE, np.full(PLATE.shape[:2], 255, np.uint8)])
    return {
        "plate": PLATE,
        "rgba": rgba,
        "deep": PLATE.astype(np.uint16) * 257,
        "grey": PLATE.mean(2).astype(np.uint8),
        "dot": np.full((1, 1, 3), 200, np.uint8),
        "strip": np.full((20, 5000, 3), 127, np.uint8),
        "black": np.zeros((40, 160, 3), np.uint8),
    }


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What ``recognize --json`` says of every picture, by its name."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, picture in pictures().items():
        assert cv2.imwrite(str(folder / f"{name}.png"), picture)
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr("builtins.print", lambda *words, **_: lines.append(" ".join(map(str, words))))
        assert options.invoke_app(cli.app, "platestream", ["recognize", str(folder), "--json"]) == 0
    return {Path(line["path"]).stem: line for line in map(json.loads, lines)}


def test_every_picture_is_answered(said: dict[str, dict[str, Any]]) -> None:
    assert set(said) == set(pictures())
    keys = {"path", "text", "confidence", "characters", "accepted", "format", "raw"}
    assert all(set(line) == keys for line in said.values())


@pytest.mark.parametrize("name", ["plate", "rgba", "deep", "grey"])
def test_a_plate_is_read_whatever_its_pixels_are(
    said: dict[str, dict[str, Any]], name: str
) -> None:
    line = said[name]
    assert (line["text"], line["raw"], line["format"]) == ("A301PO174", "A301PO174", "ru-1")
    assert line["accepted"]


@pytest.mark.parametrize("name", ["dot", "strip", "black"])
def test_where_nothing_is_nothing_is_accepted(said: dict[str, dict[str, Any]], name: str) -> None:
    assert (said[name]["text"], said[name]["accepted"], said[name]["format"]) == ("", False, None)


def test_what_is_no_picture_is_said_and_the_others_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (tmp_path / "b.png").write_bytes(b"")
    cv2.imwrite(str(tmp_path / "c.png"), PLATE)
    arguments = ["recognize", str(tmp_path), str(tmp_path / "gone.png"), "--json"]
    assert options.invoke_app(cli.app, "platestream", arguments) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ["error" in line for line in lines] == [True, True, False, True]
    assert lines[2]["text"] == "A301PO174"


def test_paths_are_given_back_as_they_were_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    cv2.imwrite(str(tmp_path / "a" / "c.png"), PLATE)
    paths = ["./a//c.png", "./a/", "", "./gone//d.png"]
    assert options.invoke_app(cli.app, "platestream", ["recognize", *paths, "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["path"] for line in lines] == ["./a//c.png", "./a/c.png", "", "./gone//d.png"]
    assert ["error" in line for line in lines] == [False, False, True, True]


@pytest.mark.parametrize("given", [cv2.imencode(".png", PLATE)[1].tobytes(), b""])
def test_a_dash_is_stdin(given: bytes) -> None:
    command = [sys.executable, "-m", "platestream", "recognize", "-", "--json"]
    done = subprocess.run(command, input=given, capture_output=True, timeout=100, check=False)
    (line,) = map(json.loads, done.stdout.splitlines())
    assert line["path"] == "-"
    assert line.get("text") == ("A301PO174" if given else None)
    assert done.returncode == (0 if given else 1)


def test_formats_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "c.png"), PLATE)
    own = tmp_path / "own.toml"
    own.write_text(
        'alphabet = "0123456789ABCEHKMOPTXY"\n[countries.xy]\nletters = "ABCEHKMOPTXY"\n'
        '[[countries.xy.formats]]\nname = "xy-any"\npattern = "L000LL000"\naspect = 4\n'
    )
    arguments = ["recognize", str(tmp_path / "c.png"), "--json", "--plates-file", str(own)]
    assert options.invoke_app(cli.app, "platestream", arguments) == 0
    assert json.loads(capsys.readouterr().out)["format"] == "xy-any"
    own.write_text("alphabet = 5")
    assert options.invoke_app(cli.app, "platestream", arguments) == 2
    assert "own.toml" in capsys.readouterr().err


def test_every_training_command_can_be_called() -> None:
    from training.cli import app as training

    names = {command.name for command in training.registered_commands}
    names |= {group.name for group in training.registered_groups}
    here = {command.name for command in cli.app.registered_commands}
    assert {"clean-labels", "contact-sheet"} <= names
    assert names <= here


def test_pictures_keep_their_order_over_batches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_CROPS_AT_ONCE", 3)
    black = np.zeros((40, 160, 3), np.uint8)
    for number in range(8):
        cv2.imwrite(str(tmp_path / f"{number}.png"), black if number % 3 else PLATE)
    (tmp_path / "4.png").write_bytes(b"")
    assert options.invoke_app(cli.app, "platestream", ["recognize", str(tmp_path), "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(line["path"]).stem for line in lines] == [str(number) for number in range(8)]
    texts = [line.get("text") for line in lines]
    assert texts == ["A301PO174", "", "", "A301PO174", None, "", "A301PO174", ""]


def test_a_folders_tiffs_and_gifs_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "a.gif"), PLATE)
    cv2.imwrite(str(tmp_path / "b.tif"), PLATE)
    cv2.imwrite(str(tmp_path / "c.tiff"), (PLATE / 255).astype(np.float32))
    assert options.invoke_app(cli.app, "platestream", ["recognize", str(tmp_path), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(Path(line["path"]).name, line["text"]) for line in lines] == [
        ("a.gif", "A301PO174"), ("b.tif", "A301PO174"), ("c.tiff", "A301PO174"),
    ]  # fmt: skip


@contextmanager
def without_rights() -> Iterator[None]:
    """As a user who may not look into folders of root's, where root runs the tests."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.mark.parametrize("command", ["recognize", "read"])
def test_what_may_not_be_looked_at_is_said_and_the_others_are_read(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    cv2.imwrite(str(closed / "a.png"), PLATE)
    closed.chmod(0)
    names = [str(closed / "a.png"), str(closed), "x" * 300, "a\0b"]
    cv2.imwrite(str(tmp_path / "last.png"), PLATE)
    for folder in (tmp_path, *tmp_path.parents):  # pytest's own, which others may not look into
        if folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(0o755)
    arguments = [command, str(tmp_path / "last.png"), *names, str(tmp_path / "last.png"), "--json"]
    options.invoke_app(cli.app, "platestream", arguments[:2])  # all is imported, and loaded once
    capsys.readouterr()
    try:
        with without_rights():
            assert options.invoke_app(cli.app, "platestream", arguments) == 1
    finally:
        closed.chmod(0o700)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["path"] for line in lines] == arguments[1:-1]
    said = [line.get("error", "") for line in lines]
    assert said[0] == said[-1] == ""
    assert "Permission denied" in said[1]
    assert "Permission denied" in said[2]
    assert "File name too long" in said[3]
    assert "no such file" in said[4]


@pytest.mark.parametrize("command", ["recognize", "read"])
def test_a_folder_without_a_picture_is_said(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    assert options.invoke_app(cli.app, "platestream", [command, str(tmp_path), "--json"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert "holds no pictures" in json.loads(line)["error"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["recognize", "a.png", "--weights", "gone.onnx"], "gone.onnx"),
        (["recognize", "a.png", "--device", "tpu"], "'tpu' is not a device"),
        (["read", "a.png", "--backend", "gpu"], "'gpu' is not a backend"),
        (["status", "--set", "ocr.treads=1"], "did you mean 'ocr.threads'"),
        (["run", "gone.mp4", "--output", "a.mp4"], "no such file: 'gone.mp4'"),
        (["run", "gone.mp4", "--output", "a.avi"], "call it 'a.mp4'"),
        (["evaluate", "recognizer", "--data", "gone"], "no such folder"),
        (["evaluate", "recognizer", "--data", "x" * 300], "File name too long"),
    ],
)
def test_what_is_refused_is_json_too(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert options.invoke_app(cli.app, "platestream", [*arguments, "--json"]) == 2
    printed = capsys.readouterr()
    (line,) = printed.out.splitlines()
    assert said in json.loads(line)["error"]
    assert said in printed.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_behind_stdout_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, open("/dev/full", "w") as full:
        patch.setattr("sys.stdout", full)
        assert options.invoke_app(cli.app, "platestream", ["--version"]) == 2
    assert "No space left on device" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("package", "sentence"),
    [
        ("training", "'platestream train' is not possible here: the package training is not"),
        ("torch", "training needs torch: pip install 'platestream[train]'"),
    ],
)
def test_where_nothing_can_be_trained_a_sentence_says_so(
    tmp_path: Path, package: str, sentence: str
) -> None:
    """In an image without training, and in an installation without torch."""
    script = (
        f"import sys; sys.modules['{package}'] = None\nfrom platestream.cli import main; main()"
    )
    words = ["train", "recognizer", "--data", str(tmp_path), "--output", "r.safetensors"]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {sentence}")
    assert "Traceback" not in done.stderr
