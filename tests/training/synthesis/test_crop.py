"""Synthetic crops: shapes, truth about text and corners, the same again from the same rng."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from training.synthesis import crop as crops
from training.synthesis.crop import (
    CROP_SIZE,
    SHARES,
    SQUARE_SIZE,
    fitting_scale,
    photographed,
    plate_crop,
    random_cut,
)
from training.synthesis.layout import KINDS, LAYOUTS, fits
from training.synthesis.plate import random_text, render_plate
from training.synthesis.surface import Mounted


@pytest.mark.parametrize("kind", KINDS)
def test_a_crop_of_every_kind(kind: str) -> None:
    for seed in range(4):
        made = plate_crop(np.random.default_rng(seed), kind=kind)
        width, height = CROP_SIZE if made.lines == 1 else SQUARE_SIZE
        assert made.image.shape == (height, width, 3)
        assert made.image.dtype == np.uint8
        assert made.lines == LAYOUTS[kind][0].lines
        assert fits(made.text, LAYOUTS[kind][0].pattern)
        assert made.image.std() > 1


def test_every_kind_has_a_share() -> None:
    assert set(SHARES) == set(KINDS)
    assert sum(SHARES.values()) == pytest.approx(1.0)


def test_lines_can_be_asked_for() -> None:
    rng = np.random.default_rng(0)
    assert {plate_crop(rng, lines=2).lines for _ in range(10)} == {2}
    assert {plate_crop(rng, lines=1).lines for _ in range(10)} == {1}
    assert {plate_crop(rng).lines for _ in range(60)} == {1, 2}
    with pytest.raises(ValueError, match="3 lines"):
        plate_crop(rng, lines=3)
    with pytest.raises(ValueError, match="ru-9"):
        plate_crop(rng, kind="ru-9")


def test_the_same_rng_makes_the_same_crop() -> None:
    grounds = [np.random.default_rng(9).integers(0, 255, (120, 300, 3), dtype=np.uint8)]
    for seed in range(12):
        a = plate_crop(np.random.default_rng(seed), grounds)
        b = plate_crop(np.random.default_rng(seed), grounds)
        assert a.text == b.text
        assert (a.image == b.image).all()
        assert (a.corners == b.corners).all()


@pytest.mark.parametrize("kind", ["ru-1", "ru-1a", "ru-military"])
def test_warping_by_the_corners_gives_the_plate_back(kind: str) -> None:
    """Over many crops, those brought back resemble the flat plate, whatever light and camera did.

    The comparison is of grey values with mean and contrast taken out.
    """
    layout = LAYOUTS[kind][0]
    likeness = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        text = random_text(rng, kind)
        corners = random_cut(rng, layout.size_mm, layout.lines)
        plate = render_plate(text, kind, px_per_mm=fitting_scale(corners, layout.size_mm))
        height, width = plate.shape[:2]
        own = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        made = photographed(Mounted(plate, own), corners, text, layout.lines, rng, ())
        back = cv2.warpPerspective(
            made.image, cv2.getPerspectiveTransform(made.corners, own), (width, height),
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        flat, seen = (cv2.cvtColor(p, cv2.COLOR_BGR2GRAY).ravel() for p in (plate, back))
        likeness.append(np.corrcoef(flat, seen)[0, 1])
    assert np.median(likeness) > 0.85
    assert np.mean(np.array(likeness) > 0.5) > 0.8


def test_corners_are_the_plates_without_its_frame() -> None:
    """Brought back by its corners, a framed crop fits the flat plate better than if shifted."""
    better = 0
    for seed in range(30):
        made = plate_crop(np.random.default_rng(seed), kind="ru-1")
        flat = cv2.cvtColor(render_plate(made.text, px_per_mm=0.5), cv2.COLOR_BGR2GRAY)
        scores = []
        for shift in (0.0, 0.09):
            moved = np.array([[0, 0], [260, 0], [260, 56], [0, 56]], np.float32)
            moved += np.float32(shift) * np.array([260, 56], np.float32)
            back = cv2.warpPerspective(
                made.image, cv2.getPerspectiveTransform(made.corners, moved), (260, 56),
                borderMode=cv2.BORDER_REPLICATE,
            )  # fmt: skip
            grey = cv2.cvtColor(back, cv2.COLOR_BGR2GRAY)
            scores.append(np.corrcoef(flat.ravel(), grey.ravel())[0, 1])
        better += scores[0] > scores[1]
    assert better >= 26


def test_crops_are_tight_and_loose_straight_and_tilted() -> None:
    rng = np.random.default_rng(4)
    cuts = [random_cut(rng, (520.0, 112.0), 1) for _ in range(400)]
    wide = np.array([np.ptp(c[:, 0]) / CROP_SIZE[0] for c in cuts])
    high = np.array([np.ptp(c[:, 1]) / CROP_SIZE[1] for c in cuts])
    assert wide.min() < 0.55
    assert wide.max() > 0.97
    assert high.min() < 0.45
    assert high.max() > 0.97
    tilt = np.degrees([np.arctan2(*(c[1] - c[0])[::-1]) for c in cuts])
    assert tilt.min() < -12
    assert tilt.max() > 12


def test_a_rolling_shutter_takes_the_corners_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crop that leans resembles the flat plate where its corners say, and leans either way."""
    monkeypatch.setattr(crops, "_ROLLING", 1.0)
    monkeypatch.setattr(crops, "photograph", lambda scene, *_: scene)
    leans, better = [], 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        before = random_cut(rng, (520.0, 112.0), 1)
        plate = render_plate("A301PO174", px_per_mm=fitting_scale(before, (520.0, 112.0)))
        height, width = plate.shape[:2]
        own = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        made = photographed(Mounted(plate, own), before, "A301PO174", 1, rng, ())
        moved = made.corners - before
        assert np.abs(moved[:, 1]).max() < 1e-3  # sideways only
        slope = (moved[3, 0] - moved[0, 0]) / (before[3, 1] - before[0, 1])
        assert 0.04 < abs(slope) < 0.31
        leans.append(slope)
        likeness = []
        for corners in (made.corners, before):
            back = cv2.warpPerspective(
                made.image, cv2.getPerspectiveTransform(corners, own), (width, height),
                borderMode=cv2.BORDER_REPLICATE,
            )  # fmt: skip
            flat, seen = (cv2.cvtColor(p, cv2.COLOR_BGR2GRAY).ravel() for p in (plate, back))
            likeness.append(np.corrcoef(flat, seen)[0, 1])
        better += likeness[0] > likeness[1]
    assert better >= 27
    assert min(leans) < 0 < max(leans)


def test_some_crops_lean(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = []

    def passing(*args: Any) -> Any:
        passed.append(args)
        return _passing(*args)

    _passing = crops._passing
    monkeypatch.setattr(crops, "_passing", passing)
    rng = np.random.default_rng(0)
    for _ in range(150):
        plate_crop(rng)
    assert 2 <= len(passed) <= 20
