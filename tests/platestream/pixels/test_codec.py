"""Pixels: pictures survive the way, damaged ones are refused before they are decoded."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from platestream import pixels
from platestream.colour import BT601, Colour
from platestream.errors import MessageError
from platestream.messages import MAX_CROP_BYTES, Pixels
from platestream.picture import I420, bgr, memory_of
from platestream.pixels import codec
from tests.planes import COLOURS, some_planes

PICTURE = np.tile(np.linspace(0, 255, 81, dtype=np.uint8)[None, :, None], (47, 1, 3))


def test_raw_is_exact() -> None:
    assert (pixels.unpack(pixels.pack(PICTURE, "raw"), 81, 47) == PICTURE).all()


def test_jpeg_is_close_and_much_smaller() -> None:
    packed = pixels.pack(PICTURE, "jpeg", 92)
    assert len(packed.data) < PICTURE.nbytes / 4
    difference = pixels.unpack(packed, 81, 47).astype(int) - PICTURE
    assert np.abs(difference).mean() < 3


def test_colour_order_is_kept() -> None:
    blue = np.zeros((16, 16, 3), np.uint8)
    blue[..., 0] = 255
    for how in ("raw", "jpeg"):
        back = pixels.unpack(pixels.pack(blue, how), 16, 16)  # type: ignore[arg-type]
        assert back[8, 8, 0] > 240
        assert back[8, 8, 2] < 15


def test_what_comes_back_can_be_drawn_on() -> None:
    for how in ("raw", "jpeg"):
        image = pixels.unpack(pixels.pack(PICTURE, how), 81, 47)  # type: ignore[arg-type]
        image[:] = 0
        assert image.max() == 0


@pytest.mark.parametrize(
    "packed",
    [
        Pixels(codec="raw", data=b"123"),
        Pixels(codec="jpeg", data=b"no jpeg"),
        Pixels(codec="jpeg", data=b""),
    ],
)
def test_damage_is_refused(packed: Pixels) -> None:
    with pytest.raises(MessageError):
        pixels.unpack(packed, 81, 47)


def test_a_jpeg_of_another_size_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = pixels.pack(PICTURE, "jpeg")
    monkeypatch.setattr(codec.simplejpeg, "decode_jpeg", lambda *a, **k: pytest.fail("decoded"))
    with pytest.raises(MessageError, match="81x47"):
        pixels.unpack(packed, 80, 47)


def test_a_crop_is_small_whatever_it_shows() -> None:
    rng = np.random.default_rng(1)
    plain = np.full((64, 256, 3), 200, np.uint8)
    assert 0 < len(pixels.pack_crop(plain)) < 800
    grey = pixels.pack_crop(plain[:, :, 0])
    assert cv2.imdecode(np.frombuffer(grey, np.uint8), cv2.IMREAD_UNCHANGED).shape == (48, 192)
    noise = rng.integers(0, 256, (64, 256, 3), np.uint8)
    assert len(pixels.pack_crop(noise)) <= MAX_CROP_BYTES
    small = pixels.pack_crop(plain[:20, :100])
    assert cv2.imdecode(np.frombuffer(small, np.uint8), cv2.IMREAD_UNCHANGED).shape == (20, 100, 3)
    assert pixels.pack_crop(rng.integers(0, 256, (900, 400, 3), np.uint8)) == b""


def test_a_jpeg_with_any_byte_of_its_head_damaged_is_a_picture_or_a_sentence() -> None:
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    whole = codec.pack(image, "jpeg").data
    refused = 0
    for place in range(700):  # all of the head, and some of the picture
        for value in (0, 4, 0xFF):
            data = bytearray(whole)
            data[place] = value
            try:
                shape = codec.unpack(Pixels(codec="jpeg", data=bytes(data)), 64, 48).shape
            except MessageError:
                refused += 1
            else:
                assert shape == image.shape
    assert refused > 100


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("size", [(64, 48), (62, 46)])
def test_planes_travel_raw_as_they_are_and_as_jpeg_in_their_colours(
    size: tuple[int, int], colour: Colour
) -> None:
    planes = some_planes(*size, colour)
    raw = pixels.pack(planes, "raw")
    assert len(raw.data) == size[0] * size[1] * 3 // 2
    back = pixels.unpack(raw, *size)
    assert isinstance(back, I420)
    assert back.colour == colour
    assert (memory_of(back) == memory_of(planes)).all()
    back.y[...] = 0  # its own
    planes.y[...] = 120
    jpeg = pixels.pack(planes, "jpeg", 95)
    image = pixels.unpack(jpeg, *size)
    assert isinstance(image, np.ndarray)
    assert np.abs(image.astype(int) - bgr(planes)).mean() < 3


@pytest.mark.parametrize(
    ("size", "length"),
    [((63, 48), 63 * 48 * 3 // 2), ((64, 47), 64 * 47 * 3 // 2)]
    + [((64, 48), length) for length in (0, 4607, 4609, 9216)],
)
def test_planes_of_an_odd_size_or_another_length_are_refused(
    size: tuple[int, int], length: int
) -> None:
    with pytest.raises(MessageError):
        pixels.unpack(Pixels(codec="raw", data=bytes(length), layout="i420"), *size)


def test_an_entry_says_nothing_of_bgr() -> None:
    said = pixels.pack(PICTURE, "raw").model_dump(exclude_defaults=True)
    assert set(said) == {"codec", "data"}
    planes = pixels.pack(some_planes(4, 4, BT601), "raw").model_dump(exclude_defaults=True)
    assert set(planes) == {"codec", "data", "layout"}
