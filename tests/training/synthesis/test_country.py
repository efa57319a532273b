"""Plates of any country, drawn from their formats."""

from __future__ import annotations

import numpy as np

from platestream import plates
from platestream.vision.recognizer import Recognizer
from training.synthesis import country
from training.synthesis.country import country_crop
from training.synthesis.crop import CROP_SIZE, SQUARE_SIZE

FORMATS = plates.parse(
    """
alphabet = "0123456789ABCE"

[countries.xy]
letters = "ABCE"

[countries.xy.regions]
all = ["7", "12"]

[[countries.xy.formats]]
name = "xy-1"
pattern = "000LLR"
spaced = "000 LL-R"
regions = "all"
aspect = 4.64

[[countries.xy.formats]]
name = "xy-2"
pattern = "R000LL"
spaced = "R-000 LL"
regions = "all"
lines = 2
split = 4
aspect = 1.7
""",
    "xy.toml",
)


def test_texts_are_of_the_format_and_pictures_of_its_shape() -> None:
    rng = np.random.default_rng(0)
    for form, size in zip(FORMATS.formats, (CROP_SIZE, SQUARE_SIZE), strict=True):
        crops = [country_crop(form, rng) for _ in range(20)]
        assert {FORMATS.format_of(c.text, form.lines) for c in crops} == {form.name}
        assert {c.image.shape for c in crops} == {(size[1], size[0], 3)}
        assert len({c.text for c in crops}) == 20


def test_gaps_and_lines_are_where_the_format_has_them() -> None:
    one, two = FORMATS.formats
    assert country._rows(one, ["1", "2", "3", "A", "B", "12"]) == ["123 AB-12"]
    assert country._rows(two, ["12", "1", "2", "3", "A", "B"]) == ["12-12", "3 AB"]
    assert country._rows(two, ["7", "1", "2", "3", "A", "B"]) == ["7-123", "AB"]


def test_they_can_be_read() -> None:
    recognizer = Recognizer.load()
    recognizer.formats = FORMATS
    rng = np.random.default_rng(1)
    crops = [country_crop(FORMATS.formats[0], rng) for _ in range(60)]
    read = recognizer.predict([c.image for c in crops])
    right = [c.text == r.guess for c, r in zip(crops, read, strict=True)]
    assert sum(right) > 30  # some are too dark, small or blurred for anybody
    assert {r.format for r, hit in zip(read, right, strict=True) if hit and r.accepted} == {"xy-1"}
