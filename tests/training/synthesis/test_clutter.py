"""Crops of what is no Russian plate."""

from __future__ import annotations

import numpy as np

from platestream import plates
from platestream.vision.decoding import OTHER
from training.synthesis.clutter import empty_crop, foreign_crop
from training.synthesis.crop import CROP_SIZE, SQUARE_SIZE


def test_empty_crops_have_the_size_asked_for_and_differ() -> None:
    rng = np.random.default_rng(1)
    crops = [empty_crop(rng) for _ in range(20)]
    assert {c.shape for c in crops} == {(CROP_SIZE[1], CROP_SIZE[0], 3)}
    assert len({c.tobytes() for c in crops}) == 20
    assert empty_crop(rng, size=SQUARE_SIZE).shape == (SQUARE_SIZE[1], SQUARE_SIZE[0], 3)


def test_empty_crops_take_any_ground() -> None:
    rng = np.random.default_rng(2)
    for shape in ((30, 30, 3), (400, 20, 3), (25, 640, 3), (8, 8, 3)):
        ground = np.full(shape, 90, np.uint8)
        for _ in range(6):
            assert empty_crop(rng, [ground]).shape == (CROP_SIZE[1], CROP_SIZE[0], 3)


def test_a_foreign_plates_unknown_signs_are_marked() -> None:
    rng = np.random.default_rng(3)
    texts = [foreign_crop(rng).text for _ in range(200)]
    assert any(OTHER in text for text in texts)
    assert any(OTHER not in text for text in texts)
    for text in texts:
        assert set(text) <= {*plates.alphabet(), OTHER}
        assert 5 <= len(text) <= 8


def test_the_same_rng_makes_the_same_clutter() -> None:
    for seed in range(8):
        a, b = (empty_crop(np.random.default_rng(seed)) for _ in range(2))
        assert (a == b).all()
        c, d = (foreign_crop(np.random.default_rng(seed)) for _ in range(2))
        assert c.text == d.text
        assert (c.image == d.image).all()
