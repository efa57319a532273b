"""Settings: flags over environment over file over defaults, and clear refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from platestream import settings
from platestream.errors import SettingsError


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("REDIS_URL", "PLATESTREAM_CONFIG", "PLATESTREAM_OCR__BATCH"):
        monkeypatch.delenv(name, raising=False)


def test_flags_win_over_environment_over_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "platestream.toml").write_text("camera = 'gate'\n[ocr]\nbatch = 2\nthreads = 3\n")
    assert settings.load().ocr.batch == 2
    monkeypatch.setenv("PLATESTREAM_OCR__BATCH", "5")
    assert settings.load().ocr.batch == 5
    loaded = settings.load({"ocr.batch": 7}, ("ocr.threads=1",))
    assert (loaded.ocr.batch, loaded.ocr.threads, loaded.camera) == (7, 1, "gate")


def test_flags_that_are_not_given_do_not_count() -> None:
    assert settings.load({"camera": None}).camera == "camera-1"


def test_redis_url_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere:1")
    assert settings.load().redis.url == "redis://elsewhere:1"
    assert settings.load({"redis.url": "redis://flag:2"}).redis.url == "redis://flag:2"


def test_a_file_of_another_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_text("[writer]\ncrf = 30\n")
    monkeypatch.setenv("PLATESTREAM_CONFIG", str(path))
    assert settings.load().writer.crf == 30
    monkeypatch.setenv("PLATESTREAM_CONFIG", str(tmp_path / "missing.toml"))
    with pytest.raises(SettingsError, match=r"missing\.toml"):
        settings.load()


@pytest.mark.parametrize(
    ("flags", "assignments", "named"),
    [
        ({"camera": "bad name"}, (), "camera"),
        ({"ocr.batch": 0}, (), "ocr.batch"),
        ({"ocr.typo": 1}, (), "ocr.typo"),
        ({}, ("writer.crf",), "section.name=value"),
        ({}, ("writer.crf=x",), "writer.crf"),
        ({}, ("capture.wait_for=nobody",), "capture.wait_for"),
    ],
)
def test_what_is_wrong_is_named(
    flags: dict[str, object], assignments: tuple[str, ...], named: str
) -> None:
    with pytest.raises(SettingsError, match=named):
        settings.load(flags, assignments)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "platestream.toml").write_text("camera = [")
    with pytest.raises(SettingsError, match=r"platestream\.toml"):
        settings.load()
