"""What is printed fits into whatever stdout is."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from platestream.stdout import prepare, print_json, printable

NAMES = ["plain", "пластина é", "\udcff.jpg", "two\nlines", "\x1b[2J"]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp1251"])
@pytest.mark.parametrize("name", NAMES)
def test_json_is_one_line_of_json_in_every_encoding(
    encoding: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding))
    print_json({"path": name, "kept": Path("a")})
    sys.stdout.flush()
    assert raw.getvalue().count(b"\n") == 1
    assert json.loads(raw.getvalue().decode(encoding)) == {"path": name, "kept": "a"}


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_no_json_is_not_printed(number: float, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        print_json({"confidence": number})
    assert not capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_lines_for_people_never_fail(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii"))
    prepare()
    print(printable(name), flush=True)
    assert raw.getvalue().count(b"\n") == 1
    assert b"\x1b" not in raw.getvalue()


@pytest.mark.parametrize(("closed", "said"), [(">&-", "stderr"), ("2>&-", "stdout")])
def test_where_stdout_or_stderr_is_closed_the_other_has_its_own(closed: str, said: str) -> None:
    words = [sys.executable, "-m", "platestream", "run", "gone.mp4", "--output", "a.mp4", "--json"]
    done = subprocess.run(
        f"{shlex.join(words)} {closed}", shell=True, capture_output=True, text=True
    )
    assert done.returncode == 2
    printed = {"stdout": done.stdout, "stderr": done.stderr}
    assert printed.pop(said).count("gone.mp4") == 1
    assert "".join(printed.values()) == ""
