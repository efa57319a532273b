"""What is drawn of a reading."""

from __future__ import annotations

import numpy as np
import pytest

from platestream.messages import Plate
from platestream.overlay import draw, opacity

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
