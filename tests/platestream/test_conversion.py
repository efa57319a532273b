"""Planes and BGR: what the standards say, there and back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from platestream.colour import BT601, Colour
from platestream.conversion import from_bgr, to_bgr
from tests.planes import COLOURS, expected_bgr


def smooth(width: int, height: int, seed: int = 0) -> np.ndarray:
    """A picture of all colours whose chroma changes slowly."""
    few = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
    return cv2.resize(few, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize(
    ("colour", "red"),
    # BT.601-7 and BT.709-6, red at its full: luma 0.299 or 0.2126, Cr at its limit
    [
        (Colour("bt601"), (81, 90, 240)),
        (Colour("bt601", True), (76, 85, 255)),
        (Colour("bt709"), (63, 102, 240)),
        (Colour("bt709", True), (54, 99, 255)),
    ],
)
def test_red_is_what_the_standard_says(colour: Colour, red: tuple[int, int, int]) -> None:
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[..., 2] = 255
    planes = from_bgr(picture, colour)
    assert [int(p[0, 0]) for p in planes] == list(red)
    assert planes[0].shape == (4, 6)
    assert planes[1].shape == planes[2].shape == (2, 3)
    assert np.abs(to_bgr(*planes, colour).astype(int) - picture).max() <= 2


@pytest.mark.parametrize("colour", COLOURS)
def test_planes_mean_what_the_standard_says(colour: Colour) -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(16, 236, (12, 20), np.uint8)
    u, v = (rng.integers(80, 176, (6, 10), np.uint8) for _ in "uv")
    made = to_bgr(y, u, v, colour)
    assert np.abs(made - expected_bgr(y, u, v, colour)).max() <= 1


@pytest.mark.parametrize("colour", COLOURS)
def test_planes_come_back_from_bgr(colour: Colour) -> None:
    planes = from_bgr(smooth(64, 48), colour)
    back = from_bgr(to_bgr(*planes, colour), colour)
    for ours, theirs in zip(planes, back, strict=True):
        assert np.abs(ours.astype(int) - theirs).mean() < 1


def test_chroma_is_the_mean_of_its_four_pixels() -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[0, 0] = (255, 0, 0)
    whole = np.zeros((2, 2, 3), np.uint8)
    whole[...] = (64, 0, 0)
    one, mean = from_bgr(picture, BT601)[1], from_bgr(whole, BT601)[1]
    assert abs(int(one[0, 0]) - int(mean[0, 0])) <= 1
