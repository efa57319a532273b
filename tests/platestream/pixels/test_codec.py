"""Pixels: pictures survive the way, damaged ones are refused before they are decoded."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from platestream import pixels
from platestream.errors import MessageError
from platestream.messages import MAX_CROP_BYTES, Pixels
from platestream.pixels import codec

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
    assert 0 < len(pixels.pack_crop(plain)) < 2000
    grey = pixels.pack_crop(plain[:, :, 0])
    assert cv2.imdecode(np.frombuffer(grey, np.uint8), cv2.IMREAD_UNCHANGED).shape == (64, 256)
    noise = rng.integers(0, 256, (64, 256, 3), np.uint8)
    assert len(pixels.pack_crop(noise)) <= MAX_CROP_BYTES
    assert pixels.pack_crop(rng.integers(0, 256, (400, 900, 3), np.uint8)) == b""


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
