"""What is drawn of a reading."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from platestream.colour import Colour
from platestream.messages import Plate
from platestream.overlay import draw, opacity
from platestream.picture import I420, bgr, copy, memory_of
from tests.planes import COLOURS, some_planes

CORNERS = ((100.0, 80.0), (200.0, 80.0), (200.0, 102.0), (100.0, 102.0))


def _drawn(text: str) -> np.ndarray:
    image = np.full((200, 320, 3), 128, np.uint8)
    plate = Plate(corners=CORNERS, score=0.9, text=text, confidence=0.5)
    draw(image, (plate,), 0)
    return (image != 128).any(2)


def test_a_text_is_written_outside_the_plate() -> None:
    drawn = _drawn("A0?1AA77")
    assert drawn[78:84, 100:200].any()
    assert not drawn[85:98, 104:196].any()  # the plate itself stays to be seen
    assert drawn[:76].any() or drawn[108:].any()


@pytest.mark.parametrize("text", ["", "?", "????????"])
def test_a_text_of_which_nothing_is_known_is_not(text: str) -> None:
    drawn = _drawn(text)
    assert drawn[78:84, 100:200].any()
    assert not drawn[:70].any()
    assert not drawn[112:].any()


def _with_age(age_ms: int, strength: float = 1.0) -> np.ndarray:
    image = np.full((200, 400, 3), 128, np.uint8)
    plate = Plate(corners=CORNERS, score=0.9, text="A301AA77", confidence=0.5, accepted=True)
    draw(image, (plate,), age_ms, strength)
    return image


def test_an_age_is_told_from_where_it_matters() -> None:
    assert (_with_age(99) == _with_age(0)).all()
    label = (_with_age(100) != 128).any(2).sum()
    assert label > 1.1 * (_with_age(0) != 128).any(2).sum()


def test_a_reading_fades_from_half_the_age_at_which_it_is_stale() -> None:
    ages = (0, 499, 500, 750, 1000, 5000)
    assert [round(opacity(age, 1000), 2) for age in ages] == [1, 1, 1, 0.6, 0.2, 0.2]
    assert opacity(0, 0) == 1


def test_what_fades_lets_the_picture_through_and_stays_where_it_was() -> None:
    whole, faint = (_with_age(0, strength).astype(int) - 128 for strength in (1.0, 0.2))
    np.testing.assert_allclose(faint, 0.2 * whole, atol=1)
    assert (_with_age(0, 0.0) == 128).all()


@pytest.mark.parametrize("at", [(-60, -10), (350, 190), (-500, 50), (5000, 5000)])
def test_a_plate_at_the_edge_or_beyond_fades_too(at: tuple[int, int]) -> None:
    image = np.full((200, 400, 3), 128, np.uint8)
    corners = tuple((x - 100 + at[0], y - 80 + at[1]) for x, y in CORNERS)
    plate = Plate(corners=corners, score=0.9, text="A301AA77", confidence=0.5)
    draw(image, (plate,), 0, 0.2)
    assert np.abs(image.astype(int) - 128).max() <= 0.2 * 128 + 1


def test_of_a_far_plate_something_shows() -> None:
    image = np.full((720, 1280, 3), 128, np.uint8)
    corners = ((600.0, 300.0), (640.0, 300.0), (640.0, 309.0), (600.0, 309.0))
    draw(image, (Plate(corners=corners, score=0.9, text="", confidence=0),), 0)
    assert (image[303:307, 603:638] == 128).all()


@pytest.mark.parametrize("strength", [1.0, 0.4])
@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("at", [(0, 0), (1, 1), (-60, -10), (-500, 50)])
def test_on_planes_the_same_is_drawn_and_nothing_else(
    at: tuple[int, int], colour: Colour, strength: float
) -> None:
    planes = some_planes(400, 200, colour)
    planes.y[...] = 90
    before = copy(planes)
    image = bgr(before).copy()
    untouched = image.copy()
    corners = tuple((x + at[0], y + at[1]) for x, y in CORNERS)
    plate = Plate(corners=corners, score=0.9, text="A301AA77", confidence=0.5, accepted=True)
    draw(image, (plate,), 150, strength)
    draw(planes, (plate,), 150, strength)
    changed = (image != untouched).any(2)
    assert changed.any()
    # of chroma there is one for four pixels: edges are softer in colour, not in brightness
    grey = [cv2.cvtColor(p, cv2.COLOR_BGR2GRAY).astype(int) for p in (image, bgr(planes))]
    assert np.abs(grey[0] - grey[1])[changed].mean() < 6
    near = cv2.dilate(changed.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    near |= _inside(corners, near.shape)  # its box is drawn on as a whole
    assert isinstance(before, I420)
    assert (planes.y[~near] == before.y[~near]).all()
    assert np.abs(bgr(planes).astype(int) - untouched)[~changed].mean() < 1


def _inside(corners: Sequence[tuple[float, float]], shape: tuple[int, int]) -> np.ndarray:
    inside = np.zeros(shape, np.uint8)
    cv2.fillPoly(inside, [np.array(corners, np.int32)], (1,))
    return inside > 0


def test_where_nothing_is_drawn_planes_stay_as_they_are() -> None:
    planes = some_planes(400, 200, COLOURS[0])
    before = copy(planes)
    draw(planes, (), 0)
    assert (memory_of(planes) == memory_of(before)).all()
