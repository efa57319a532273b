"""Pictures that OpenCV does not unpack at once: floating point, and JPEGs without their end."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from platestream.unpacking import unpacked

WIDTH, HEIGHT = 160, 96
_ramp = np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)).astype(np.float32)
GREY = cv2.GaussianBlur((_ramp * 37 % 200 + 20).astype(np.uint8), (0, 0), 2).astype(np.uint8)
PICTURE = cv2.merge([GREY, GREY[::-1], GREY[:, ::-1]]).astype(np.uint8)


def tiff(values: npt.NDArray[np.generic]) -> bytes:
    done, data = cv2.imencode(".tif", values)
    assert done
    return data.tobytes()


def jpeg(image: npt.NDArray[np.uint8] = PICTURE, *how: int) -> bytes:
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95, *how])
    assert done
    return data.tobytes()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("white", [1, 255])
def test_float_pictures_are_read(kind: type[np.floating], white: int) -> None:
    values = PICTURE.astype(kind) / kind(255 / white)
    assert np.array_equal(unpacked(tiff(values)), PICTURE)
    clear = np.dstack([values, np.full((HEIGHT, WIDTH), 0.5, kind)])  # transparency is left out
    assert np.array_equal(unpacked(tiff(clear)), PICTURE)
    grey = unpacked(tiff(GREY.astype(kind) / kind(255 / white)))
    assert np.array_equal(grey, cv2.merge([GREY] * 3))


def test_of_a_float_picture_what_is_not_finite_is_black_and_what_is_beyond_is_cut_off() -> None:
    values = PICTURE.astype(np.float32) / 255
    values[0, :4] = np.array([np.nan, np.inf, -0.05, 1.08], np.float32)[:, None]
    read = unpacked(tiff(values))
    assert read[0, :4, 0].tolist() == [0, 0, 0, 255]
    assert np.array_equal(read[1:], PICTURE[1:])


def test_a_float_picture_is_upright_as_its_orientation_says() -> None:
    data = bytearray(tiff(PICTURE.astype(np.float32) / 255))
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    entries = [bytes(data[at + 2 + 12 * i : at + 14 + 12 * i]) for i in range(count)]
    kept = [e for e in entries if e[:2] != struct.pack("<H", 274)]
    turned = sorted([*kept, struct.pack("<HHIHH", 274, 3, 1, 3, 0)])  # by a half
    turned.sort(key=lambda e: struct.unpack("<H", e[:2]))
    new = struct.pack("<H", len(turned)) + b"".join(turned) + b"\0\0\0\0"
    struct.pack_into("<I", data, 4, len(data))
    assert np.array_equal(unpacked(bytes(data) + new), PICTURE[::-1, ::-1])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.full((9, 9, 3), np.nan, np.float32), "no finite sample"),
        (np.linspace(0, 4000, 243, dtype=np.float32).reshape(9, 9, 3), "from 0 to 4000"),
        (np.linspace(-1, 1, 243, dtype=np.float64).reshape(9, 9, 3), "from -1 to 1"),
        (np.arange(243, dtype=np.int32).reshape(9, 9, 3), "samples of int32"),
    ],
    ids=["nan", "too bright", "below black", "whole numbers"],
)
def test_samples_that_are_no_brightness_are_named(
    values: npt.NDArray[np.generic], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        unpacked(tiff(values))


def test_a_cut_off_float_picture_is_damaged() -> None:
    data = tiff(PICTURE.astype(np.float32) / 255)
    with pytest.raises(ValueError, match="damaged, or cut off"):
        unpacked(data[: len(data) // 2])


@pytest.mark.parametrize("how", [(), (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)], ids=["plain", "restarts"])
@pytest.mark.parametrize("image", [PICTURE, GREY], ids=["colour", "grey"])
@pytest.mark.parametrize("missing", [2, 20])
def test_a_jpeg_that_lacks_only_its_end_is_read(
    image: npt.NDArray[np.uint8], how: tuple[int, ...], missing: int
) -> None:
    whole = jpeg(image, *how)
    read, expected = unpacked(whole[:-missing]).astype(int), unpacked(whole)
    assert read.shape == PICTURE.shape
    assert (np.abs(read - expected).max(2) > 8).mean() < (0.04 if missing > 2 else 1e-9)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_jpeg_that_lacks_more_is_refused(share: float) -> None:
    whole = jpeg()
    with pytest.raises(ValueError, match="damaged, or cut off"):
        unpacked(whole[: int(len(whole) * (1 - share))])


@pytest.mark.parametrize("missing", [2, 400])
def test_of_a_progressive_jpeg_nobody_can_tell(missing: int) -> None:
    with pytest.raises(ValueError, match="damaged, or cut off"):
        unpacked(jpeg(PICTURE, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)[:-missing])


def test_a_jpeg_is_not_refused_for_having_grey_pixels() -> None:
    """Single pixels that happen to be as grey as what is missing do not count."""
    speckled = np.where(np.indices((HEIGHT, WIDTH)).sum(0) % 16 < 8, 128, 60).astype(np.uint8)
    whole = jpeg(speckled)
    assert (unpacked(whole) == 128).all(2).mean() > 0.1
    assert unpacked(whole[:-2]).shape == PICTURE.shape
