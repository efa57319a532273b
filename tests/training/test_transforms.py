"""What the street does to a plate."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("albumentations", reason="the train extra is not installed")

from training import transforms


@pytest.fixture(autouse=True)
def seeded() -> None:
    np.random.seed(0)


def strokes(height: int) -> np.ndarray:
    """Upright black strokes on white, as far apart as a plate's characters are, of any size."""
    image = np.full((height, 4 * height), 255, np.uint8)
    step = height // 8
    for x in range(step, 4 * height - step, 4 * step):
        image[:, x : x + step] = 0
    return image


@pytest.mark.parametrize("name", ["_motion", "_unsharp"])
def test_blur_is_as_strong_in_a_large_picture_as_in_a_small_one(name: str) -> None:
    def contrast_left(height: int) -> float:
        image = strokes(height)
        blurred = [getattr(transforms, name)(image) for _ in range(60)]
        assert all(one.shape == image.shape and one.dtype == np.uint8 for one in blurred)
        return float(np.mean([one.std() for one in blurred]) / image.std())

    small, large = contrast_left(48), contrast_left(192)
    assert 0.4 < large < 0.97
    assert small == pytest.approx(large, abs=0.08)


def test_rain_is_brighter_than_what_it_falls_before() -> None:
    image = np.full((64, 256), 60, np.uint8)
    wet = [transforms._rain(image) for _ in range(20)]
    assert all(one.shape == image.shape and one.dtype == np.uint8 for one in wet)
    assert sum(one.max() > 90 for one in wet) >= 15
    assert all((one > 75).mean() < 0.5 for one in wet)


def test_the_street_takes_pictures_of_any_height() -> None:
    street = transforms.street(0)
    for height in (20, 48, 120):
        for _ in range(30):
            image = street(strokes(height))
            assert image.shape == (height, 4 * height)
            assert image.dtype == np.uint8
