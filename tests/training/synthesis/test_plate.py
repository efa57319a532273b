"""Flat plates: every kind has its size, its colours, and its signs where they belong."""

from __future__ import annotations

import numpy as np
import pytest

from platestream import plates
from training.synthesis.layout import KINDS, LAYOUTS, Layout, fits
from training.synthesis.plate import random_text, render_plate

_ALL = [(kind, layout) for kind in KINDS for layout in LAYOUTS[kind]]


def _contrast(image: np.ndarray, layout: Layout) -> np.ndarray:
    """How far each pixel is from the plate's ground towards its ink, 0 to 1."""
    ground, ink = np.array(layout.ground, float), np.array(layout.ink, float)
    way = ink - ground
    return np.clip((image - ground) @ way / (way @ way), 0, 1)


@pytest.mark.parametrize(("kind", "layout"), _ALL)
def test_a_plate_has_its_size_and_colours(kind: str, layout: Layout) -> None:
    text = random_text(np.random.default_rng(1), kind)
    image = render_plate(text, kind, px_per_mm=0.8, layout=layout)
    assert image.dtype == np.uint8
    assert image.shape == (round(layout.size_mm[1] * 0.8), round(layout.size_mm[0] * 0.8), 3)
    covered = _contrast(image, layout).mean()
    assert 0.08 < covered < 0.45


@pytest.mark.parametrize(("kind", "layout"), _ALL)
def test_signs_stand_where_the_layout_says(kind: str, layout: Layout) -> None:
    rng = np.random.default_rng(2)
    ink = _contrast(render_plate(random_text(rng, kind), kind, layout=layout), layout)
    for row in layout.rows:
        for middle, height in zip(row.middles, row.heights, strict=True):
            box = ink[round(row.base - height) : round(row.base),
                      round(middle - height * 0.3) : round(middle + height * 0.3)]  # fmt: skip
            assert box.size > 0
            assert 0.15 < box.mean() < 0.9
            assert box[0].max() > 0.5  # it reaches up
            assert box[-2].max() > 0.5  # and down


@pytest.mark.parametrize(("kind", "layout"), _ALL)
def test_no_sign_runs_into_another(kind: str, layout: Layout) -> None:
    """Between two neighbours of a row there is a column of bare ground, for narrow signs."""
    letters = iter("HEHEHEHE")
    text = "".join(
        next(letters) if sign == "L" else "0" for sign in layout.pattern.removesuffix("R")
    )
    ink = _contrast(render_plate(text + "00", kind, layout=layout), layout)
    for row in layout.rows:
        for left, right in zip(row.middles, row.middles[1:], strict=False):
            band = ink[round(row.base - 40) : round(row.base - 4), round(left) : round(right)]
            assert band.max(0).min() < 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_texts_fit_their_kind(kind: str) -> None:
    rng = np.random.default_rng(3)
    pattern = LAYOUTS[kind][0].pattern
    texts = [random_text(rng, kind) for _ in range(60)]
    assert len(set(texts)) > 50
    for text in texts:
        assert fits(text, pattern)
        assert set(text) <= set(plates.alphabet())
    long = set() if kind.startswith("ru-military") else {len(pattern) + 2}
    assert {len(t) for t in texts} == {len(pattern) + 1} | long


@pytest.mark.parametrize("kind", KINDS)
def test_a_plate_carries_only_what_its_format_allows(kind: str) -> None:
    """Services' trailers and square plates, too, though formats of other kinds read them."""
    formats, layout = plates.shipped(), LAYOUTS[kind][0]
    own = [form for form in formats.formats if form.name == kind]
    for seed in range(400):
        text = random_text(np.random.default_rng(seed), kind)
        assert formats.format_of(text, layout.lines), text
        for form in own:
            start = len(layout.pattern) - 1
            assert all(c in slot for c, slot in zip(text[:start], form.slots, strict=False)), text
            assert text[start:] in form.slots[-1], text
        if kind.startswith("ru-military"):
            assert text[-2:] in formats.regions["ru"]["troops"]
            assert len(text) == len(layout.pattern) + 1, text


def test_a_two_line_plate_reads_top_line_first() -> None:
    """The same text, but for its last letter: only the lower half of the plate differs."""
    a = render_plate("A301PO174", "ru-1a").astype(int)
    b = render_plate("A301PT174", "ru-1a").astype(int)
    rows = np.flatnonzero(np.abs(a - b).max((1, 2)) > 100)
    assert rows.min() > 0.5 * len(a)


def test_a_flag_only_where_the_layout_has_one() -> None:
    def red(kind: str, text: str) -> int:
        image = render_plate(text, kind).astype(int)
        return int(((image[:, :, 2] > 180) & (image[:, :, :2].max(2) < 80)).sum())

    assert red("ru-1", "A301PO174") > 100
    assert red("ru-military", "1234AA21") == 0


def test_the_same_rng_draws_the_same_plate_and_none_a_steady_one() -> None:
    def draw(seed: int | None) -> np.ndarray:
        rng = None if seed is None else np.random.default_rng(seed)
        return render_plate("A301PO174", rng=rng)

    assert (draw(1) == draw(1)).all()
    assert (draw(None) == draw(None)).all()
    assert (draw(1) != draw(2)).any()


@pytest.mark.parametrize(
    ("text", "kind"), [("A301PO174", "ru-2"), ("A301PO1", "ru-1"), ("", "ru-1a"), ("X", "eu-1")]
)
def test_what_does_not_fit_is_refused(text: str, kind: str) -> None:
    with pytest.raises(ValueError, match=kind):
        render_plate(text, kind)
