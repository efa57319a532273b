"""What plates may say: alphabet, formats, region codes; all of it data, from ``plates.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from platestream.errors import SettingsError
from platestream.grammar import State, compile_formats

_DIGITS = "0123456789"
_MAX_FILE_BYTES = 2**20
_MOST_CODES = 50_000  # region codes of all lists, ranges written out
_GAPS = " -"  # what may stand between the characters of a plate and is not read
_Text = Annotated[str, Field(min_length=1, max_length=64)]
_Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=32)]


@dataclass(frozen=True, slots=True)
class PlateFormat:
    """One kind of text that a plate may carry.

    Attributes:
        name: Its country and what it is, as ``ru-1``.
        pattern: Its symbols, as the data file has them.
        lines: Lines of the plate: 1 or 2.
        split: Characters in the upper of two lines; 0 for one line.
        aspect: The plate's width by its height.
        slots: For every symbol, the strings that may stand there.
        spaced: The pattern with the gaps and dashes that stand between its characters.
    """

    name: str
    pattern: str
    lines: int
    split: int
    aspect: float
    slots: tuple[frozenset[str], ...]
    spaced: str


@dataclass(frozen=True, slots=True)
class PlateFormats:
    """The formats of one data file.

    Attributes:
        alphabet: Every character a plate may carry, in the order of the recognizer's classes.
        letters: Letters by country.
        regions: Region codes by country and list.
        formats: In the order of the file; a text that fits several is of the first.
    """

    alphabet: str
    letters: dict[str, str]
    regions: dict[str, dict[str, frozenset[str]]]
    formats: tuple[PlateFormat, ...]
    _file: _File
    _grammars: dict[int, State]

    def grammar(self, lines: int) -> State:
        """The automaton of the formats with so many lines."""
        if lines not in self._grammars:
            fitting = {f.name: f.slots for f in self.formats if f.lines == lines}
            self._grammars[lines] = compile_formats(fitting)
        return self._grammars[lines]

    def format_of(self, text: str, lines: int = 1) -> str | None:
        """The first format that a text fits, its region code included; None if none."""
        state = self.grammar(lines).after(text)
        return state.formats[0] if state is not None and state.formats else None

    def values(self) -> dict[str, Any]:
        """All of it as plain values, as the data file has them; ``from_values`` reads them."""
        return self._file.model_dump(mode="json", exclude_unset=True)

    def joined(self, other: PlateFormats) -> PlateFormats:
        """These formats, and another file's with its alphabet's further characters at the end.

        A country that both know is the other's.

        Raises:
            SettingsError: The two do not fit together.
        """
        mine, its = self.values(), other.values()
        further = "".join(char for char in other.alphabet if char not in self.alphabet)
        return from_values(
            {
                "alphabet": self.alphabet + further,
                "countries": mine["countries"] | its["countries"],
            },
            f"{', '.join(mine['countries'])} and {', '.join(its['countries'])}",
        )


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Format(_Part):
    name: _Name
    pattern: Annotated[str, Field(min_length=1, max_length=16)]
    regions: _Name | None = None
    lines: Annotated[int, Field(ge=1, le=2)] = 1
    split: Annotated[int, Field(ge=0, le=15)] = 0
    aspect: Annotated[float, Field(gt=0.2, lt=20)]
    spaced: Annotated[str | None, Field(max_length=32)] = None

    @model_validator(mode="after")
    def _lines_and_split_agree(self) -> Self:
        if (self.lines == 2) != (self.split > 0) or self.split >= len(self.pattern):
            raise ValueError(
                f"format '{self.name}': 'split' says how many characters of '{self.pattern}' stand "
                "in the upper of two lines; give it with lines = 2, and only then"
            )
        if self.spaced is not None and _bare(self.spaced) != self.pattern:
            raise ValueError(
                f"format '{self.name}': 'spaced' is the pattern '{self.pattern}' with blanks and "
                f"dashes, not '{self.spaced}'"
            )
        return self


class _Country(_Part):
    letters: _Text
    regions: dict[_Name, Annotated[list[_Text], Field(min_length=1, max_length=2000)]] = {}
    symbols: dict[Annotated[str, Field(min_length=1, max_length=1)], _Text] = {}
    formats: Annotated[list[_Format], Field(min_length=1, max_length=100)]


class _File(_Part):
    alphabet: _Text
    countries: Annotated[dict[_Name, _Country], Field(min_length=1, max_length=250)]


def load(path: Path) -> PlateFormats:
    """Reads a file of plate formats; ``platestream/data/plates.toml`` shows and explains the form.

    Raises:
        SettingsError: The file is missing or unreadable, or something in it does not fit.
    """
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise SettingsError(f"plates file '{path}' has more than {_MAX_FILE_BYTES} bytes")
        text = path.read_text("utf-8")
    except OSError as error:
        raise SettingsError(f"cannot read plates file '{path}': {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"plates file '{path}' is not UTF-8 text") from error
    return parse(text, str(path))


def parse(text: str, name: str) -> PlateFormats:
    """Takes the text of a plates file apart.

    Args:
        name: What error messages call it.

    Raises:
        SettingsError: It is not TOML, or something in it does not fit.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"plates file '{name}': {error}") from error
    return from_values(values, f"plates file '{name}'")


def from_values(values: Any, name: str) -> PlateFormats:
    """Takes formats as ``PlateFormats.values`` gives them.

    Args:
        name: What error messages call them.

    Raises:
        SettingsError: Something in them does not fit.
    """
    try:
        formats = _formats(_File.model_validate(values))
        for lines in {one.lines for one in formats.formats}:
            formats.grammar(
                lines
            )  # what cannot be compiled is said here, and not at the first plate
        return formats
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{name}: {where}: {message}") from error
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from error


def _formats(file: _File) -> PlateFormats:
    if len(set(file.alphabet)) < len(file.alphabet):
        raise ValueError("alphabet: a character stands there twice")
    for char in file.alphabet:
        if not char.isalnum() or char != char.upper():
            raise ValueError(f"alphabet: '{char}' is neither a digit nor a capital letter")
    formats: list[PlateFormat] = []
    regions: dict[str, dict[str, frozenset[str]]] = {}
    written = 0
    for code, country in file.countries.items():
        regions[code] = {}
        for key, given in country.regions.items():
            codes = _written_out(given)
            written += len(codes)
            if written > _MOST_CODES:
                raise ValueError(f"region codes: there are more than {_MOST_CODES}, with '{key}'")
            regions[code][key] = frozenset(codes)
        for one in country.formats:
            if not one.name.startswith(f"{code}-"):
                raise ValueError(f"format '{one.name}': its name must begin with '{code}-'")
            if any(one.name == other.name for other in formats):
                raise ValueError(f"format '{one.name}' is there twice")
            slots = tuple(_slot(s, one, country, regions[code]) for s in one.pattern)
            strange = {char for slot in slots for option in slot for char in option}
            strange -= set(file.alphabet)
            if strange:
                raise ValueError(
                    f"format '{one.name}': '{min(strange)}' is not in the alphabet "
                    f"'{file.alphabet}'"
                )
            formats.append(
                PlateFormat(
                    one.name,
                    one.pattern,
                    one.lines,
                    one.split,
                    one.aspect,
                    slots,
                    one.spaced or one.pattern,
                )
            )
    letters = {code: country.letters for code, country in file.countries.items()}
    return PlateFormats(file.alphabet, letters, regions, tuple(formats), file, {})


def _bare(spaced: str) -> str:
    return "".join(sign for sign in spaced if sign not in _GAPS)


def _slot(
    symbol: str, form: _Format, country: _Country, regions: dict[str, frozenset[str]]
) -> frozenset[str]:
    if symbol in country.symbols:
        return frozenset(country.symbols[symbol])
    if symbol == "0":
        return frozenset(_DIGITS)
    if symbol == "L":
        return frozenset(country.letters)
    if symbol == "R":
        if form.regions not in regions:
            raise ValueError(
                f"format '{form.name}' has a region code; 'regions' must name one of the lists "
                f"{sorted(regions)}"
            )
        return regions[form.regions]
    raise ValueError(
        f"format '{form.name}': '{symbol}' in '{form.pattern}' means nothing; use 0, L, R, or say "
        "what it stands for in 'symbols'"
    )


def _written_out(given: list[str]) -> list[str]:
    """Codes and ranges as the codes that they stand for; no more when there are too many."""
    codes: list[str] = []
    for one in given:
        codes += _expand(one)
        if len(codes) > _MOST_CODES:
            break
    return codes


def _expand(given: str) -> list[str]:
    """``01-99`` as all it stands for; anything else as it is."""
    first, dash, last = given.partition("-")
    if not dash:
        return [given]
    if not (first.isdecimal() and last.isdecimal() and len(first) == len(last) <= 4):
        raise ValueError(f"region codes '{given}': write a range as 01-99")
    codes = [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]
    if not codes:
        raise ValueError(f"region codes '{given}': the range is empty")
    return codes


@cache
def shipped() -> PlateFormats:
    """The formats that the package knows."""
    text = resources.files("platestream").joinpath("data/plates.toml").read_text("utf-8")
    return parse(text, "plates.toml")


def alphabet() -> str:
    """Every character a plate may carry, in the order of the recognizer's classes."""
    return shipped().alphabet


def letters() -> str:
    """The letters of Russian plates: those of Cyrillic that look like Latin ones."""
    return shipped().letters["ru"]


def region_codes() -> frozenset[str]:
    """Russian region codes in use: ``01`` to ``99``, and the three-digit ones."""
    return shipped().regions["ru"]["road"]


def format_of(text: str, lines: int = 1) -> str | None:
    """The first format that a text fits, its region code included, as ``ru-1``; None if none."""
    return shipped().format_of(text, lines)


@lru_cache(maxsize=4096)  # trackers compare the same few texts, frame after frame
def edit_distance(a: str, b: str) -> int:
    """Levenshtein's distance: least number of insertions, deletions and replacements."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]
