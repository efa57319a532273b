"""Labels from file names: ``E073EA 102.bmp`` is plate E073EA, then region code and counter in one.

``102`` may be region 102, or region 10 and counter 2. A counter is given to a further picture of
a plate that is there already, which settles most names: ``A001CC 1720`` beside ``A001CC 172``.
What stays open is settled by a second reading where there is one; else it is reported.

Other countries' files are named plainly, or have their texts in a CSV.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from platestream import plates
from platestream.errors import DataError
from platestream.plates import PlateFormats
from training import tables

_LETTER = f"[{plates.letters()}]"
_NAME = re.compile(
    rf"(?P<base>{_LETTER}\d{{3}} ?{_LETTER}{{2}}) ?(?P<tail>\d{{2,}})"  # plate, region and counter
    r"(?: \(\d+\))?(?:\.jpe?g|\.bmp|\.png)?",  # "(2)" of a copy; an ending left by a converter
    re.IGNORECASE,
)
_COLUMNS = (("file", "text"), ("filename", "reading"))


@dataclass(frozen=True, slots=True)
class Name:
    """A file name taken apart: the plate without its region, and the digits after it."""

    base: str
    tail: str

    def candidates(self) -> list[str]:
        """The texts that the name may mean, shorter region first."""
        codes = plates.region_codes()
        return [self.base + self.tail[:n] for n in (2, 3) if self.tail[:n] in codes and
                len(self.tail) >= n]  # fmt: skip


def parse_name(file: str) -> Name | None:
    """Takes a file name apart; None if it does not look like a plate of type 1."""
    match = _NAME.fullmatch(Path(file).stem)
    if match is None:
        return None
    return Name(match["base"].replace(" ", "").upper(), match["tail"])


@dataclass
class Labels:
    """File names with their texts, and the others with the reason why they have none."""

    texts: dict[str, str] = field(default_factory=dict)
    unlabelled: dict[str, str] = field(default_factory=dict)


def from_names(files: Iterable[str], second: Mapping[str, str] | None = None) -> Labels:
    """Labels files by their names.

    Args:
        files: File names, such as ``E073EA 102.bmp``.
        second: Another reading of some of the files. Where there is one, it must agree with one
            of the texts the name may mean; a file on which the two differ has no label.
    """
    labels = Labels()
    names = {file: parse_name(file) for file in files}
    tails: dict[str, set[str]] = defaultdict(set)
    for name in names.values():
        if name is not None:
            tails[name.base].add(name.tail)
    for file, name in names.items():
        if name is None:
            labels.unlabelled[file] = "the name is not that of a type 1 plate"
            continue
        candidates = name.candidates()
        reading = (second or {}).get(file)
        if not candidates:
            labels.unlabelled[file] = f"no region code in '{name.tail}'"
        elif reading is not None:
            if reading in candidates:
                labels.texts[file] = reading
            else:
                labels.unlabelled[file] = f"the name says {candidates[-1]}, the reading {reading}"
        else:
            meant = _settle(name, candidates, tails[name.base])
            if meant is None:
                labels.unlabelled[file] = f"may be {' or '.join(candidates)}"
            else:
                labels.texts[file] = meant
    return labels


def from_plain_names(files: Iterable[str], formats: PlateFormats) -> Labels:
    """Labels files whose names are what is written on the plate: ``123 ABC-02.jpg``.

    Blanks and dashes do not count, nor does what comes after an underscore or in brackets, so that
    several pictures may show one plate: ``123ABC02_2.jpg``, ``123ABC02 (2).jpg``.

    Args:
        formats: A name must fit one of them.
    """
    labels = Labels()
    for file in files:
        written = re.split(r"[_(]", Path(file).stem)[0]
        text = plain(written)
        strange = [char for char in text if char not in formats.alphabet]
        if not any(formats.format_of(text, lines) for lines in (1, 2)):
            labels.unlabelled[file] = (
                f"'{strange[0]}' is not in the alphabet '{formats.alphabet}'"
                if strange
                else f"'{text}' fits no plate format"
            )
        else:
            labels.texts[file] = text
    return labels


def _settle(name: Name, candidates: list[str], tails: set[str]) -> str | None:
    if len(candidates) == 1:
        return candidates[0]
    # a counter presupposes the plate's first picture, whose tail is the bare region
    there = [text for text in candidates if text[len(name.base) :] in tails - {name.tail}]
    if len(there) == 1 and name.tail != candidates[-1][len(name.base) :]:
        return there[0]
    followed = any(t != name.tail and t.startswith(name.tail) for t in tails)
    if not there and followed and name.tail == candidates[-1][len(name.base) :]:
        return candidates[-1]
    return None


def plain(written: str) -> str:
    """A text in capitals without blanks and dashes; as it is where it has nothing else."""
    return re.sub(r"[\s-]", "", written).upper() or written.strip()


def read_csv(
    path: Path,
    *,
    alphabet: str | None = None,
    folder: Path | None = None,
    unreadable: bool = False,
) -> dict[str, str]:
    """Reads texts by file name from a CSV with columns ``file,text`` or ``filename,reading``.

    Blanks and dashes in texts do not count.

    Args:
        alphabet: Where given, texts may have no other characters.
        folder: Where given, every file must be there.
        unreadable: Rows with ``readable`` 0 are given with an empty text, instead of left out.

    Raises:
        DataError: The labels are missing, no CSV with commas, or have no such columns; or a row
            is not whole, has a character that is not of the alphabet, a file that is not there, or
            one that another row has too.
    """
    texts: dict[str, str] = {}
    for line, row in tables.rows(path, lambda there: _check_columns(path, there)):
        name, text = row.get("file", row.get("filename")), row.get("text", row.get("reading"))
        if name is None or text is None:
            raise DataError(f"'{path}' line {line} ends too early: '{name}' has no text beside it")
        if not name:
            raise DataError(f"'{path}' line {line} names no file beside '{text}'")
        text = plain(text)
        if row.get("readable", "1") == "0":
            if not unreadable:
                continue
            text = ""
        strange = [char for char in text if alphabet is not None and char not in alphabet]
        if strange:
            raise DataError(
                f"'{path}' line {line}: '{text}' of '{name}' has '{strange[0]}', which is not in "
                f"the alphabet '{alphabet}'"
            )
        if folder is not None and not (folder / name).is_file():
            raise DataError(f"'{path}' line {line}: '{name}' is not in '{folder}'")
        if texts.setdefault(name, text) != text:
            raise DataError(
                f"'{path}' line {line}: '{name}' is '{text}' here and '{texts[name]}' above"
            )
    return texts


def holds_texts(path: Path) -> bool:
    """Whether labels say what is written (``file,text``), not what another has read.

    Raises:
        DataError: As ``read_csv``, of the file and its columns.
    """
    rows = tables.rows(path, lambda there: _check_columns(path, there))
    return any("text" in row for _, row in rows)


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    """Sees that there are names and texts; an empty file has no rows to need them for."""
    if not columns or any(set(pair) <= set(columns) for pair in _COLUMNS):
        return
    wanted = f"'{path}' needs columns 'file' and 'text' (or 'filename', 'reading')"
    separator = next((char for char in ";\t|" if char in columns[0]), None)
    if len(columns) == 1 and separator:
        raise DataError(f"{wanted} with commas between them; line 1 has {separator!r}")
    raise DataError(f"{wanted}; line 1 has {', '.join(map(repr, columns))}")
