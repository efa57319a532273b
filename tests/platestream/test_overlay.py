"""What is drawn of a reading."""

from __future__ import annotations

import numpy as np
import pytest

from platestream.messages import Plate
from platestream.overlay import draw

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
