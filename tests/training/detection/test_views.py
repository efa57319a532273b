"""Views: plates go where their pixels go."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("catalyst", reason="the train extra is not installed")

from training.detection.dataset import Crop, Material, Mixture, TrainingViews
from training.detection.light import glare, night
from training.detection.pasting import flatten, paint_synthetic, repaint
from training.detection.photos import Photo
from training.detection.targets import to_sample
from training.detection.views import Pyramid, View, empty, mirror, placing, tile, transform

QUAD = np.array([[100, 110], [180, 100], [182, 122], [102, 132]], np.float32)


def marked() -> Photo:
    """A grey photograph with one white plate."""
    image = np.full((240, 320, 3), 90, np.uint8)
    cv2.fillConvexPoly(image, QUAD.astype(np.int32), (250, 250, 250))
    box = np.array([[100, 100, 182, 132]], np.float32)
    return Photo(Path("a.jpg"), image, box, corners=QUAD[None])


def ground(side: int = 256) -> View:
    return empty(np.full((side, side, 3), 114, np.uint8))


def brightness(view: View) -> float:
    mask = np.zeros(view.image.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, view.corners[0].round().astype(np.int32), 1)
    return float(view.image[mask > 0].mean())


@pytest.mark.parametrize("scale", [0.3, 0.6, 1.0, 2.2])
@pytest.mark.parametrize("seed", range(4))
def test_corners_stay_on_the_plate_whatever_the_perspective(scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    middle = QUAD.mean(0).astype(np.float64)
    matrix = placing(rng, middle, scale, np.array([128.0, 128.0]), tilt=True)
    view = Pyramid(marked()).cut(matrix, ground())
    assert np.abs(view.corners[0].mean(0) - 128).max() < 6
    assert brightness(view) > 205
    assert brightness(mirror(view)) > 205


def test_some_plates_are_seen_from_beside_and_above() -> None:
    rng = np.random.default_rng(0)
    middle = QUAD.mean(0).astype(np.float64)
    target = np.array([128.0, 128.0])

    def climbs(tilt: bool) -> np.ndarray:
        moved = [
            transform(QUAD[None], placing(rng, middle, 1.0, target, tilt=tilt))[0]
            for _ in range(400)
        ]
        across = [quad[1] - quad[0] + quad[2] - quad[3] for quad in moved]
        down = [quad[3] - quad[0] + quad[2] - quad[1] for quad in moved]
        # how far the long sides climb more than a plate that is merely turned would
        return np.array([
            np.arctan2(a[1], a[0]) + np.arctan2(d[0], d[1])
            for a, d in zip(across, down, strict=True)
        ])  # fmt: skip

    assert np.abs(climbs(False)).max() < 0.15
    steep = np.abs(climbs(True)) > 0.3
    assert 0.02 < steep.mean() < 0.15  # by shearing alone, one in 150


@pytest.mark.parametrize(("shift", "x2", "known"), [(60, 242.0, 0.5), (120, 256.0, 0.0)])
def test_of_a_plate_at_the_edge_the_box_of_what_is_seen_is_known(
    shift: int, x2: float, known: float
) -> None:
    view = Pyramid(marked()).cut(np.array([[1.0, 0, shift], [0, 1, 0], [0, 0, 1]]), ground())
    assert view.corners[0].min(0).tolist() == [100 + shift, 100]
    assert view.corners[0].max(0).tolist() == [x2, 132]
    assert view.known.tolist() == [known]
    assert len(view.ignore) == 0


def test_a_plate_cut_off_is_to_be_ignored_and_one_covered_is_gone() -> None:
    outside = np.array([[1.0, 0, 140], [0, 1, 0], [0, 0, 1]])
    view = Pyramid(marked()).cut(outside, ground())
    assert len(view.corners) == 0
    assert view.ignore.tolist() == [[240, 100, 256, 132]]
    under = View(
        ground().image, (QUAD + 10)[None], np.ones(1, np.float32), np.zeros((0, 4), np.float32)
    )
    view = Pyramid(marked()).cut(np.eye(3), under)
    assert len(view.corners) == 1
    assert np.allclose(view.corners[0], QUAD, atol=1e-3)


def test_tiles_carry_their_plates_along() -> None:
    views = [Pyramid(marked()).cut(np.eye(3), ground()) for _ in range(4)]
    whole = tile(views, 2)
    assert whole.image.shape == (512, 512, 3)
    assert np.allclose(whole.corners[3], QUAD + 256, atol=1e-3)


def test_targets_say_where_the_plate_is() -> None:
    view = Pyramid(marked()).cut(np.eye(3), ground())
    sample = to_sample(view)
    rows, columns = np.nonzero(sample["heat"].numpy() == 1)
    assert (len(rows), columns[0], rows[0]) == (1, 141 // 8, 116 // 8)
    centre = (np.array([columns[0], rows[0]]) + 0.5) * 8
    offsets = sample["offsets"][:, rows[0], columns[0]].numpy().reshape(4, 2) * 32
    assert np.allclose(centre + offsets, QUAD, atol=0.01)
    assert sample["share"].sum() == pytest.approx(1, abs=1e-5)
    assert sample["known"].max() == 0.5


def test_plates_too_small_are_neither_wanted_nor_punished() -> None:
    tiny = np.array([[[100, 100], [107, 100], [107, 102], [100, 102]]], np.float32)
    view = View(ground().image, tiny, np.ones(1, np.float32), np.zeros((0, 4), np.float32))
    sample = to_sample(view)
    assert sample["heat"].max() == 0
    assert sample["ignore"][100 // 8, 100 // 8] == 1


@pytest.mark.parametrize("seed", range(6))
def test_a_plate_painted_over_covers_the_one_that_was_there(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = marked().image
    box = np.array([100, 100, 182, 132], np.float32)
    before = image.copy()
    corners = paint_synthetic(image, box, rng, light=200)
    assert np.abs(corners.mean(0) - [141, 116]).max() < 12
    assert (image != before).any()
    assert (image[:70] == before[:70]).all()


def test_repainting_keeps_one_quadrilateral_a_plate_or_takes_the_plate_away() -> None:
    plate = flatten(marked().image, QUAD)
    assert plate is not None
    left = 0
    for seed in range(30):
        view = Pyramid(marked()).cut(np.eye(3), ground())
        painted = repaint(view, [plate], 0.5, np.random.default_rng(seed))
        assert len(painted.corners) == len(painted.known)
        left += len(painted.corners)
    assert 20 <= left < 30


def test_night_darkens_and_glare_brightens() -> None:
    rng = np.random.default_rng(1)
    dark = Pyramid(marked()).cut(np.eye(3), ground())
    bright = Pyramid(marked()).cut(np.eye(3), ground())
    before = float(dark.image.mean())
    night(dark, rng)
    glare(bright, rng)
    assert dark.image.mean() < before < bright.image.mean()


def test_samples_are_the_same_for_the_same_seed_and_epoch() -> None:
    material = Material(
        [marked()],
        [np.full((100, 100, 3), 60, np.uint8)],
        [Crop(marked().image, QUAD)],
        [],
        [np.full((40, 80, 3), 200, np.uint8)],
    )
    mixture = Mixture(close_ups=0.3, crops=0.3, empty=0.2)

    def make() -> TrainingViews:
        return TrainingViews(material, side=256, length=12, seed=3, mixture=mixture)

    first, second = make(), make()
    views = [first.view(np.random.default_rng(i)) for i in range(12)]
    again = [second.view(np.random.default_rng(i)) for i in range(12)]
    for one, other in zip(views, again, strict=True):
        assert (one.image == other.image).all()
        assert (one.corners == other.corners).all()
    assert first[0]["image"].shape == (3, 256, 256)
