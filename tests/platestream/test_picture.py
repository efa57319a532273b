"""Pictures as BGR and as planes: copied, converted, drawn on."""

from __future__ import annotations

import numpy as np
import pytest

from platestream import picture as pictures
from platestream.colour import BT601, Colour
from platestream.picture import I420, Form, bgr, copy, form_of, memory_of, patch, video_frame
from tests.planes import COLOURS, expected_bgr, some_planes

# a height that is no multiple of four, rows that FFmpeg would pad
SIZES = [(64, 48), (62, 46), (2, 2), (322, 182)]


def spread(planes: I420) -> I420:
    """The same planes as a decoder has them: each for itself, its rows apart."""
    wide = [np.zeros((p.shape[0], p.shape[1] + 13), np.uint8) for p in planes.planes]
    for ours, theirs in zip(wide, planes.planes, strict=True):
        ours[:, : theirs.shape[1]] = theirs
    y, u, v = (w[:, : p.shape[1]] for w, p in zip(wide, planes.planes, strict=True))
    return I420(y, u, v, planes.colour)


def same(one: I420, other: object) -> bool:
    assert isinstance(other, I420)
    return all((a == b).all() for a, b in zip(one.planes, other.planes, strict=True))


@pytest.mark.parametrize("size", SIZES)
def test_planes_take_half_of_what_bgr_takes(size: tuple[int, int]) -> None:
    assert 2 * Form(*size, BT601).size == Form(*size).size == 3 * size[0] * size[1]
    planes = Form(*size, BT601).empty()
    assert form_of(planes) == Form(*size, BT601)
    assert memory_of(planes).size == Form(*size, BT601).size
    assert form_of(Form(*size).empty()) == Form(*size)


@pytest.mark.parametrize("size", SIZES)
def test_planes_are_copied_plane_by_plane(size: tuple[int, int]) -> None:
    planes = some_planes(*size, BT601)
    apart = spread(planes)
    copied = copy(apart)
    assert same(planes, copied)
    assert isinstance(copied, I420)
    copied.y[...] = 0
    assert not same(apart, copied)
    target = Form(*size, BT601).empty()
    assert copy(planes, target) is target
    assert same(planes, target)
    assert memory_of(apart).tobytes() == memory_of(planes).tobytes()


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("size", SIZES)
def test_bgr_of_planes_is_near_what_the_standard_says(
    size: tuple[int, int], colour: Colour
) -> None:
    planes = some_planes(*size, colour)
    expected = expected_bgr(*planes.planes, colour)
    for one in (planes, spread(planes)):
        difference = bgr(one) - expected
        assert np.abs(difference).max() <= 4  # FFmpeg's tables round down
        assert np.abs(difference.mean((0, 1))).max() < 2.5


@pytest.mark.parametrize("size", SIZES)
def test_a_frame_for_the_encoder_has_all_rows(size: tuple[int, int]) -> None:
    planes = some_planes(*size, Colour("bt709", True))
    frame = video_frame(planes)
    assert (frame.width, frame.height) == size
    assert (int(frame.colorspace), int(frame.color_range)) == (1, 2)
    for ours, theirs in zip(planes.planes, frame.planes, strict=True):
        rows = np.frombuffer(theirs, np.uint8).reshape(-1, theirs.line_size)
        assert (rows[: ours.shape[0], : ours.shape[1]] == ours).all()


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(
    "box", [(10, 8, 30, 20), (11, 7, 30, 21), (-5, -5, 9, 9), (50, 40, 99, 99), (0, 0, 64, 48)]
)
def test_only_what_is_drawn_on_changes(box: tuple[int, int, int, int], colour: Colour) -> None:
    planes = some_planes(64, 48, colour)
    before = bgr(copy(planes)).copy()
    untouched = copy(planes)
    assert isinstance(untouched, I420)
    with patch(planes, box) as (image, left, top):
        assert (
            np.abs(
                image.astype(int) - before[top : top + image.shape[0], left : left + image.shape[1]]
            ).max()
            <= 4
        )
        assert left <= max(0, box[0])
        assert top <= max(0, box[1])
        image[...] = (30, 120, 220)
        height, width = image.shape[:2]
    mask = np.zeros((48, 64), bool)
    mask[top : top + height, left : left + width] = True
    assert (mask.any(0).sum(), mask.any(1).sum()) == (width, height)
    assert np.abs(bgr(planes)[mask].astype(int) - (30, 120, 220)).max() <= 4
    assert (planes.y[~mask] == untouched.y[~mask]).all()
    for ours, theirs in ((planes.u, untouched.u), (planes.v, untouched.v)):
        assert (ours[~mask[::2, ::2]] == theirs[~mask[::2, ::2]]).all()


@pytest.mark.parametrize(
    "box", [(70, 10, 90, 20), (5, 60, 9, 70), (20, 10, 10, 20), (-9, 0, -2, 4)]
)
def test_beyond_the_picture_there_is_nothing_to_draw_on(box: tuple[int, int, int, int]) -> None:
    for picture in (some_planes(64, 48, BT601), np.zeros((48, 64, 3), np.uint8)):
        before = memory_of(picture).copy()
        with patch(picture, box) as (image, _, _):
            assert image.size == 0
        assert (memory_of(picture) == before).all()


def test_a_part_of_bgr_is_the_picture_itself() -> None:
    picture = np.zeros((48, 64, 3), np.uint8)
    with patch(picture, (11, 7, 30, 21)) as (image, left, top):
        image[...] = 9
    assert (left, top) == (11, 7)
    assert (picture[7:21, 11:30] == 9).all()
    assert picture.sum() == 14 * 19 * 3 * 9


@pytest.mark.parametrize("colour", COLOURS)
def test_planes_of_bgr_look_like_it(colour: Colour) -> None:
    image = bgr(some_planes(64, 48, BT601))
    assert np.abs(bgr(pictures.i420(image, colour)).astype(int) - image).mean() < 3
