"""Labels from file names."""

from __future__ import annotations

from pathlib import Path

import pytest

from platestream import plates
from platestream.errors import DataError
from training import labels


@pytest.mark.parametrize(
    ("file", "base", "tail"),
    [
        ("E073EA 102.bmp", "E073EA", "102"),
        ("A001AA 17 (2).bmp", "A001AA", "17"),
        ("M114 XH 71.jpg", "M114XH", "71"),
        ("K725OY 971.jpg.bmp", "K725OY", "971"),
    ],
)
def test_names_are_taken_apart(file: str, base: str, tail: str) -> None:
    name = labels.parse_name(file)
    assert name is not None
    assert (name.base, name.tail) == (base, tail)


@pytest.mark.parametrize("file", ["973MM 190.bmp", "K9014YT 64.bmp", "1.bmp", "wall.jpg", ""])
def test_names_without_a_plate_are_reported(file: str) -> None:
    found = labels.from_names([file])
    assert not found.texts
    assert file in found.unlabelled


def test_a_counter_needs_a_first_picture() -> None:
    files = [f"A001CC {tail}.bmp" for tail in ("172", "1720", "1721")]
    assert set(labels.from_names(files).texts.values()) == {"A001CC172"}


def test_what_may_be_either_is_reported_not_guessed() -> None:
    found = labels.from_names(["E073EA 102.bmp"])
    assert not found.texts
    assert "E073EA10 or E073EA102" in found.unlabelled["E073EA 102.bmp"]


def test_a_second_reading_settles_it_or_disputes_it() -> None:
    file = "E073EA 102.bmp"
    assert labels.from_names([file], {file: "E073EA10"}).texts == {file: "E073EA10"}
    disputed = labels.from_names([file], {file: "H002OP199"})
    assert not disputed.texts
    assert "H002OP199" in disputed.unlabelled[file]


def test_a_csv_of_labels(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text("file,text,readable\na.bmp,a001aa77,1\nb.bmp,,0\n")
    assert labels.read_csv(path) == {"a.bmp": "A001AA77"}
    path.write_text("x,y\n1,2\n")
    with pytest.raises(DataError, match="columns"):
        labels.read_csv(path)
    with pytest.raises(DataError, match="none"):
        labels.read_csv(tmp_path / "none.csv")


def test_unreadable_rows_are_left_out_or_empty(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text("file,text,readable\na.png,A001AA77,1\nb.png,A0?,0\n")
    assert labels.read_csv(path, alphabet=plates.alphabet()) == {"a.png": "A001AA77"}
    both = labels.read_csv(path, alphabet=plates.alphabet(), unreadable=True)
    assert both == {"a.png": "A001AA77", "b.png": ""}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("file;text\na.png;A001AA77\n", "with commas.*line 1 has ';'"),
        ("file\ttext\na.png\tA001AA77\n", r"with commas.*line 1 has '\\t'"),
        ("name,label\na.png,A001AA77\n", "columns 'file' and 'text'.*line 1 has 'name', 'label'"),
        ("file,text\na.png,A001AA77\nb.png\n", r"line 3 ends too early: 'b\.png'"),
        ("file,text\n,A001AA77\n", "line 2 names no file beside 'A001AA77'"),
        ('file,text\na.png,A001AA77\n"b.png,A001AA77\nc.png,A001AA77\n', "line 3.*a quote"),
        ("file,text\na.png,-\n", "line 2: '-' of"),  # not: there is no plate
    ],
)
def test_what_is_wrong_with_a_csv_is_said_with_its_line(
    tmp_path: Path, written: str, said: str
) -> None:
    path = tmp_path / "l.csv"
    path.write_text(written)
    with pytest.raises(DataError, match=said):
        labels.read_csv(path, alphabet=plates.alphabet())


def test_texts_are_told_from_a_second_reading(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    for columns, texts in (("file,text", True), ("filename,reading", False)):
        path.write_text(f"{columns}\na.png,A001AA77\n")
        assert labels.holds_texts(path) is texts


def test_blanks_dashes_and_a_byte_order_mark_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text("file,text\na.png, a 001 aa-77\n\nb.png,\n", encoding="utf-8-sig")
    assert labels.read_csv(path, alphabet=plates.alphabet()) == {"a.png": "A001AA77", "b.png": ""}
