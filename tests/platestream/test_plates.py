"""What plates may say."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from platestream import plates
from platestream.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "one_line", "two_lines"),
    [
        ("A301PO174", "ru-1", "ru-1a"),
        ("A301PO77", "ru-1", "ru-1a"),
        ("AB12377", "ru-1b", None),
        ("AB123477", "ru-2", None),
        ("1234AB77", "ru-military", "ru-motorcycle"),
        ("1234AB177", None, "ru-motorcycle"),  # the services' codes have two digits
        ("A123477", "ru-police", None),
        ("AB123C77", "ru-transit", None),
        ("A301PO00", None, None),  # no such region
        ("A301PO888", None, None),
        ("D301PO77", None, None),  # no such letter
        ("A301PO", None, None),
        ("", None, None),
        ("A301P?77", None, None),
    ],
)
def test_formats(text: str, one_line: str | None, two_lines: str | None) -> None:
    assert plates.format_of(text) == one_line
    assert plates.format_of(text, 2) == two_lines


@pytest.mark.parametrize("code", ["01", "95", "80", "85", "977", "797", "252", "323", "184", "550"])
def test_region_codes_in_use(code: str) -> None:
    assert plates.format_of(f"A301PO{code}") == "ru-1"


def test_every_format_accepts_what_its_slots_say_and_nothing_shorter_or_longer() -> None:
    rng = np.random.default_rng(0)
    for one in plates.shipped().formats:
        for _ in range(20):
            text = "".join(str(rng.choice(sorted(slot))) for slot in one.slots)
            assert one.name in plates.shipped().grammar(one.lines).after(text).formats
            assert plates.format_of(text + "A", one.lines) is None
            assert plates.format_of(text[:3], one.lines) is None


ABROAD = """
alphabet = "0123456789ABD"

[countries.xy]
letters = "AB"
symbols = { D = "D" }

[countries.xy.regions]
all = ["1-3", "15"]

[[countries.xy.formats]]
name = "xy-car"
pattern = "DL0R"
regions = "all"
aspect = 4.0

[[countries.xy.formats]]
name = "xy-square"
pattern = "LL0"
lines = 2
split = 2
aspect = 1.5
"""


def test_a_country_is_added_by_a_file(tmp_path: Path) -> None:
    path = tmp_path / "abroad.toml"
    path.write_text(ABROAD)
    abroad = plates.load(path)
    assert abroad.alphabet == "0123456789ABD"
    assert [abroad.format_of(t) for t in ("DA03", "DB015", "DA04", "AA01")] == [
        "xy-car", "xy-car", None, None,
    ]  # fmt: skip
    assert (abroad.format_of("AB7"), abroad.format_of("AB7", 2)) == (None, "xy-square")
    assert (abroad.formats[1].split, abroad.formats[1].aspect) == (2, 1.5)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('pattern = "LL0"', 'pattern = "LL?"', "'\\?' in 'LL\\?' means nothing"),
        ('"xy-square"', '"xy-car"', "'xy-car' is there twice"),
        ('"xy-square"', '"zz-square"', "must begin with 'xy-'"),
        ("lines = 2", "lines = 3", "formats.1.lines"),
        ("split = 2", "", "'split'"),
        ('letters = "AB"', 'letters = "AZ"', "'Z' is not in the alphabet"),
        ('alphabet = "0123456789ABD"', 'alphabet = "0123456789ABDA"', "twice"),
        ('regions = "all"', 'regions = "some"', "must name one of the lists"),
        ('"1-3"', '"3-1"', "range is empty"),
        ('"1-3"', '"a-c"', "write a range as"),
        ("aspect = 4.0", "", "aspect"),
        ("aspect = 4.0", "aspect = 4.0\ncolour = 1", "colour"),
        ("alphabet =", "alphabet", "plates file"),
        ('"0123456789ABD"', '"0123456789ABD*"', "'\\*' is neither a digit nor a capital letter"),
        ('"0123456789ABD"', '"0123456789ABDq"', "'q' is neither"),
        ("aspect = 4.0", 'aspect = 4.0\nspaced = "DL-00"', "'spaced' is the pattern 'DL0R' with"),
    ],
)
def test_what_is_wrong_in_a_file_is_said(tmp_path: Path, old: str, new: str, named: str) -> None:
    path = tmp_path / "abroad.toml"
    assert old in ABROAD
    path.write_text(ABROAD.replace(old, new))
    with pytest.raises(SettingsError, match=named) as caught:
        plates.load(path)
    assert "abroad.toml" in str(caught.value)


def test_a_country_joins_those_that_are_known() -> None:
    abroad = plates.parse(ABROAD, "abroad.toml")
    both = plates.shipped().joined(abroad)
    assert both.alphabet == plates.alphabet() + "D"
    assert [both.format_of(t) for t in ("A301PO174", "DA03")] == ["ru-1", "xy-car"]
    assert plates.from_values(both.values(), "again").values() == both.values()
    mended = plates.parse(ABROAD.replace('"xy-car"', '"xy-other"'), "mended.toml")
    assert both.joined(mended).format_of("DA03") == "xy-other"  # the same country, said again
    large = "".join(chr(0x410 + n) for n in range(32)) + "0123456789DFGIJLNQRSUVWZ"
    with pytest.raises(SettingsError, match="ru and xy: alphabet"):
        plates.shipped().joined(plates.parse(ABROAD.replace("0123456789ABD", large + "AB"), "x"))


def test_a_missing_or_binary_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml"):
        plates.load(tmp_path / "none.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="UTF-8"):
        plates.load(tmp_path / "b.toml")


def test_edit_distance() -> None:
    assert plates.edit_distance("A301PO77", "A301PO77") == 0
    assert plates.edit_distance("A301PO77", "A801PO777") == 2
    assert plates.edit_distance("", "ABC") == 3


def many(codes: list[str], pattern: str) -> dict[str, object]:
    country = {
        "letters": "ABC",
        "regions": {"x": codes},
        "formats": [
            {"name": "zz-0", "pattern": "000", "aspect": 4.0},
            {"name": "zz-1", "pattern": pattern, "regions": "x", "aspect": 4.0},
        ],
    }
    return {"alphabet": "0123456789ABC", "countries": {"zz": country}}


def test_codes_that_run_into_each_other_are_refused_and_not_computed_for_ever() -> None:
    chance = random.Random(1)
    codes = ["".join(chance.choices("0123456789AB", k=chance.randint(1, 5))) for _ in range(2000)]
    with pytest.raises(SettingsError, match=r"^there: format 'zz-1' can be read in too many ways"):
        plates.from_values(many(codes, "RRRR"), "there")
    assert plates.from_values(many(codes, "R00"), "there").format_of(codes[7] + "17") == "zz-1"


def test_ranges_without_end_are_refused() -> None:
    with pytest.raises(SettingsError, match="more than 50000, with 'x'"):
        plates.from_values(many(["0000-9999"] * 2000, "R"), "there")
