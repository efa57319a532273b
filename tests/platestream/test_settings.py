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
        ({"streams.camera_mib": 13}, (), "streams.camera_mib"),
        ({"streams.budget_mib": 222}, (), r"448 MiB .*frames 222, rendered 222.*6 more, and 4 are"),
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


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[ocr", b"[ocr]\ntreads = 1", b"ocr = 1"])
def test_a_file_that_says_nothing_right_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "platestream.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=r"platestream\.toml"):
        settings.load()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PLATESTREAM_OCR__TREADS", "1", "did you mean 'ocr.threads'.*PLATESTREAM_OCR__TREADS"),
        ("PLATESTREAM_ORC__THREADS", "1", "PLATESTREAM_ORC__THREADS.*did you mean 'ocr'"),
        ("PLATESTREAM_OCR__THREADS", "two", "'two'.*PLATESTREAM_OCR__THREADS"),
        ("PLATESTREAM_OCR", "two", "PLATESTREAM_OCR__NAME"),
        ("PLATESTREAM_CAMERA", "a b", "a name has letters.*'a b'.*PLATESTREAM_CAMERA"),
    ],
)
def test_a_variable_that_sets_nothing_is_named(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=said):
        settings.load()


def test_variables_of_a_kubernetes_service_set_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATESTREAM_PORT", "tcp://10.0.0.1:80")
    monkeypatch.setenv("PLATESTREAM_SERVICE_HOST", "10.0.0.1")
    settings.load()


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("ocr.treads=1", "'ocr.treads' is unknown; did you mean 'ocr.threads'"),
        ("orc.threads=1", "'orc' is unknown; did you mean 'ocr'"),
        ("ocr=1", "'ocr' is a section, not '1'"),
        ("ocr.threads=two", "valid integer.*not 'two'"),
        ("writer.preset=slow", "'fast' or 'medium', not 'slow'"),
        ("camera=a/b", "a name has letters.*not 'a/b'"),
        ("=1", "section.name=value"),
    ],
)
def test_what_was_given_and_what_may_be_is_said(assignment: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        settings.load({}, (assignment,))
    assert "Extra inputs" not in str(caught.value)
    assert "platestream.toml" not in str(caught.value)
