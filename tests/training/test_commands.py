"""Commands of training that cannot come to an end are refused before they begin."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("catalyst", reason="the train extra is not installed")

from training import cli

TRAINING = (
    ["train", "recognizer", "--data", "gone"],
    ["train", "detector", "--data", "gone"],
    ["clean-labels", "--data", "gone", "--start", "gone.safetensors"],
)


@pytest.mark.parametrize("command", TRAINING)
def test_where_nothing_can_be_written_nothing_is_begun(
    command: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    for output, said in (("file/out", "cannot be written"), ("folder", "is a folder; name a file")):
        assert cli.main([*command, "--output", output]) == 2
        assert f"'{output}' {said}" in capsys.readouterr().err
    assert cli.main([*command, "--output", "new/out"]) == 2  # nothing is in its way
    said = capsys.readouterr().err
    assert "no such folder: 'gone'" in said or "'gone' needs folders" in said
    assert (tmp_path / "new").is_dir()


@pytest.mark.parametrize(
    ("option", "value"),
    [("--learning-rate", "nan"), ("--learning-rate", "-1"), ("--seed", "-1"),
     ("--seed", str(2**70)), ("--patience", "-1")],
)  # fmt: skip
def test_numbers_that_nothing_can_be_trained_with_are_refused(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "recognizer", "--data", "gone", "--output", "w", option, value]
    assert cli.main(command) == 2
    assert option in capsys.readouterr().err
