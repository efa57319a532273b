"""What plates may say: alphabet, formats, region codes; all of it data, from ``plates.toml``."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import resources
from typing import Any


@cache
def _data() -> dict[str, Any]:
    text = resources.files("platestream").joinpath("data/plates.toml").read_text("utf-8")
    return tomllib.loads(text)


def alphabet() -> str:
    """Every character a plate may carry, in the order of the recognizer's classes."""
    return str(_data()["alphabet"])


def letters() -> str:
    """The letters of the alphabet: those of Cyrillic that look like Latin ones."""
    return str(_data()["letters"])


@cache
def region_codes() -> frozenset[str]:
    """Region codes in use: ``01`` to ``99``, and the three-digit ones."""
    two = {f"{number:02d}" for number in range(1, 100)}
    return frozenset(two | set(_data()["regions"]["three_digit"]))


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    parts = {"L": f"[{letters()}]", "0": r"\d", "R": r"(?P<region>\d{2,3})"}
    formats: dict[str, str] = _data()["formats"]
    return {
        name: re.compile("".join(parts[symbol] for symbol in pattern))
        for name, pattern in formats.items()
    }


def formats() -> dict[str, str]:
    """Patterns by format name, as the data file has them."""
    return dict(_data()["formats"])


def format_of(text: str, lines: int = 1) -> str | None:
    """The first format that a text fits, its region code included, as ``ru-1``; None if none."""
    for name, pattern in _patterns().items():
        match = pattern.fullmatch(text)
        if match and match["region"] in region_codes():
            return name
    return None


def edit_distance(a: str, b: str) -> int:
    """Levenshtein's distance: least number of insertions, deletions and replacements."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]
