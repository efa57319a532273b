"""The file of cameras: what it says, what is wrong with it, what a process gets of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from platestream import cameras_file, cli, options, settings
from platestream.cameras_file import CamerasFileError
from platestream.settings import StreamSettings, WriterSettings

PATH = Path("cameras.toml")
ROOT = Path(__file__).parent.parent.parent


def parse(text: str) -> dict[str, cameras_file.CameraEntry]:
    return cameras_file.parse(text.encode(), PATH)


def problems(text: str) -> list[str]:
    with pytest.raises(CamerasFileError) as caught:
        parse(text)
    assert all("cameras.toml" in problem for problem in caught.value.problems)
    return caught.value.problems


def test_the_example_is_a_good_file() -> None:
    cameras = cameras_file.read(ROOT / "deploy" / "cameras" / "cameras.example.toml")
    assert list(cameras) == ["gate-1", "gate-2", "yard.north", "replay"]
    assert cameras["gate-2"].settings["capture.rtsp_transport"] == "udp"


def test_cameras_keep_their_order_and_their_own_settings() -> None:
    cameras = parse("""
        [cameras.b]
        source = "rtsp://b"
        writer.crf = 30
        capture.rtsp_transport = "udp"
        [cameras.a]
        source = "a.mp4"
    """)
    assert list(cameras) == ["b", "a"]
    assert cameras["b"].own_settings("capture") == {
        "capture.rtsp_transport": "udp",
        "capture.source": "rtsp://b",
    }
    assert cameras["b"].own_settings("writer") == {"writer.crf": 30}
    assert cameras["a"].own_settings("writer") == {}


def test_what_a_process_gets_goes_before_the_settings_of_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The environment made of a camera's settings is read as what the file says."""
    (tmp_path / "platestream.toml").write_text("[capture]\ntimeout_s = 20\nlive = false\n")
    monkeypatch.chdir(tmp_path)
    entry = parse("""
        [cameras.a]
        source = "rtsp://user:1@x/{y}"
        capture = { live = true, timeout_s = 2.5 }
        streams.jpeg_quality = 70
    """)["a"]
    own = entry.own_settings("capture")
    for name, value in cameras_file.setting_variables(own).items():
        monkeypatch.setenv(name, value)
    read = settings.load({"camera": "a"})
    assert read.capture.source == "rtsp://user:1@x/{y}"
    assert (read.capture.live, read.capture.timeout_s) == (True, 2.5)
    assert read.streams.jpeg_quality == 70


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no camera"),
        ("[cameras]", "has no camera"),
        ("cameras = 3", "has no camera"),
        ("[cameras.a\nsource = 'x'", "not valid TOML.*line 1"),
        ("[cameras.a]\nsource = 'x'\n\n[cameras.a]\nsource = 'y'", "not valid TOML.*line 4"),
        ("[cameras.a]\nsource = 'x'\nsource = 'y'", "not valid TOML"),
        ("[cameras.a]", "camera 'a': has no 'source'"),
        ("[cameras.a]\nsource = ' '", "camera 'a': 'source' is empty"),
        ("[cameras.a]\nsource = 3", "camera 'a': 'source' is empty"),
        (f"[cameras.a]\nsource = '{'x' * 5000}'", "5000 characters"),
        ('[cameras.a]\nsource = "x\\u0000y"', "no file, URL or device"),
        ("[cameras]\na = 'x'", "camera 'a': is no table"),
        ("[cameras.'-a']\nsource = 'x'", "camera '-a': a name has letters"),
        ("[cameras.'a/../b']\nsource = 'x'", "a name has letters"),
        ("[cameras.a]\nsource='x'\n[cameras.A]\nsource='y'", "nothing but its capitals"),
        ("[cameras.a]\nsource='x'\n[camera.b]\nsource='y'", "'camera' is unknown; .*'cameras'"),
        ("[cameras.a]\nsource='x'\n[cameras.a.captur]\nlive=true", "did you mean 'capture'"),
        ("[cameras.a]\nsource='x'\nwriter.crv=3", "'writer.crv' is unknown; .*'writer.crf'"),
        ("[cameras.a]\nsource='x'\ncrf=3", r"'crf' belongs under \[cameras.a.writer\]"),
        ("[cameras.a]\nsource='x'\nwriter=3", r"write \[cameras.a.writer\]"),
        ("[cameras.a]\nsource='x'\nwriter.crf=99", "'writer.crf': .*less than or equal to 51"),
        ("[cameras.a]\nsource='x'\ncapture.source='y'", "own 'source'"),
        ("[cameras.a]\nsource='x'\nocr.threads=2", "'ocr' is the same for all cameras"),
        ("[cameras.a]\nsource='x'\n[cameras.a.b]\nsource='y'", r"cameras.\"a.b\""),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str) -> None:
    found = problems(text)
    assert any(re.search(said, problem) for problem in found), found


def test_everything_that_is_wrong_is_said_at_once() -> None:
    assert len(problems("[cameras.a]\n[cameras.b]\nsource=''\n[cameras.c]\nsource='x'")) == 2


def test_limits(tmp_path: Path) -> None:
    many = "".join(f"[cameras.c{n}]\nsource='x'\n" for n in range(1001))
    assert "limit is 1000" in problems(many)[0]
    large = tmp_path / "cameras.toml"
    large.write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(CamerasFileError, match="more than 1048576 bytes"):
        cameras_file.read(large)
    with pytest.raises(CamerasFileError, match="no such file"):
        cameras_file.read(tmp_path / "none.toml")
    with pytest.raises(CamerasFileError, match="cannot read"):
        cameras_file.read(tmp_path)
    with pytest.raises(CamerasFileError, match=r"not UTF-8.*line 2"):
        cameras_file.parse(b"\n\xff", PATH)
    with pytest.raises(CamerasFileError, match=r"nested|not valid TOML"):
        cameras_file.parse(b"a=" + b"[" * 100_000, PATH)


def test_no_two_cameras_write_one_file() -> None:
    cameras = parse("[cameras.a]\nsource='x'\n[cameras.b]\nsource='x'")
    cameras_file.check_outputs(cameras, WriterSettings(), PATH)
    with pytest.raises(CamerasFileError, match="'a' and 'b' would both write"):
        cameras_file.check_outputs(cameras, WriterSettings(output="out.mp4"), PATH)
    own = parse("[cameras.a]\nsource='x'\n[cameras.b]\nsource='x'\nwriter.output='b.mp4'")
    cameras_file.check_outputs(own, WriterSettings(output="out.mp4"), PATH)


def test_what_a_camera_sets_goes_with_what_all_have() -> None:
    cameras = parse("[cameras.a]\nsource='x'\nstreams.budget_mib=300\n[cameras.b]\nsource='x'")
    cameras_file.check_budgets(cameras, StreamSettings(camera_mib=1000), PATH)
    with pytest.raises(CamerasFileError, match=r"'a': .* 448 MiB .*frames 300, rendered 300"):
        cameras_file.check_budgets(cameras, StreamSettings(), PATH)


def test_check_prints_cameras_or_problems(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cameras.toml"
    path.write_text("[cameras.a]\nsource='rtsp://me:secret@host/1'\nwriter.crf=30\n")
    words = ["cameras", "check", str(path), "--json"]
    assert options.invoke_app(cli.app, "platestream", words) == 0
    assert capsys.readouterr().out == (
        '{"camera": "a", "source": "rtsp://me:***@host/1", "settings": {"writer.crf": 30}}\n'
    )
    path.write_text("[cameras.a]\nsorce='x'\n")
    assert options.invoke_app(cli.app, "platestream", words[:-1]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "did you mean 'source'" in said.err
    assert "Traceback" not in said.err
