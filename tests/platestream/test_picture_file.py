"""Picture files of every kind, and what only calls itself one."""

from __future__ import annotations

import os
import struct
import threading
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from platestream.errors import SourceError
from platestream.picture_file import ENDINGS, KINDS, is_picture, picture_size, read_picture

WIDTH, HEIGHT = 53, 31
PICTURE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
PICTURE[:, : WIDTH // 2] = (0, 0, 255)  # red on the left


def encoded(ending: str, *how: int) -> bytes:
    done, data = cv2.imencode(ending, PICTURE, how)
    assert done
    return data.tobytes()


def chunk(kind: bytes, body: bytes) -> bytes:
    sum32 = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + sum32


def png_bomb(side: int) -> bytes:
    rows = zlib.compress(b"\0" * (side // 8 + 1) * 64)
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def jpeg_bomb() -> bytes:
    data = encoded(".jpg")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", 65_000, 65_000) + data[at + 4 :]


def turned_jpeg(orientation: int) -> bytes:
    """A JPEG whose EXIF says how it is to be turned (TIFF tag 0x112)."""
    entry = struct.pack("<HHII", 0x112, 3, 1, orientation)
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + b"\0\0\0\0"
    data = encoded(".jpg")
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]


@pytest.mark.parametrize(
    ("ending", "how"),
    [
        (".bmp", ()),
        (".jpg", ()),
        (".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
        (".png", ()),
        (".webp", (cv2.IMWRITE_WEBP_QUALITY, 80)),
        (".webp", (cv2.IMWRITE_WEBP_QUALITY, 101)),  # without loss
        (".tif", ()),
        (".gif", ()),
    ],
)
def test_the_size_is_known_before_anything_is_unpacked(
    ending: str, how: tuple[int, ...], tmp_path: Path
) -> None:
    data = encoded(ending, *how)
    assert picture_size(data) == (WIDTH, HEIGHT)
    path = tmp_path / f"a{ending}"
    path.write_bytes(data)
    read = read_picture(path)
    assert (read.shape, read.dtype) == (PICTURE.shape, np.uint8)
    assert np.abs(read.astype(int) - PICTURE).mean() < 8


@pytest.mark.parametrize("length", range(0, 34))
def test_a_header_that_is_cut_off_says_nothing(length: int) -> None:
    for ending in (".bmp", ".jpg", ".png", ".webp", ".tif", ".gif"):
        found = picture_size(encoded(ending)[:length])
        assert found is None or min(found) > 0


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"no picture at all", "not a picture"),
        (encoded(".png")[:60], "damaged, or cut off"),
        (encoded(".jpg")[: len(encoded(".jpg")) // 2], "damaged, or cut off"),
        (encoded(".bmp")[:900], "damaged, or cut off"),
        (encoded(".webp")[:40], "damaged, or cut off"),
        (png_bomb(60_000), "60000x60000; the limit"),
        (png_bomb(16_000), "16000x16000; the limit"),
        (jpeg_bomb(), "65000x65000; the limit"),
    ],
    ids=["empty", "text", "png", "jpeg", "bmp", "webp", "huge png", "large png", "huge jpeg"],
)
def test_what_cannot_be_read_is_named_with_its_reason(
    data: bytes, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with pytest.raises(SourceError, match=said) as caught:
        read_picture(path)
    assert str(path) in str(caught.value)
    # OpenCV has nothing to add; libjpeg has, but cannot be kept from it
    assert capfd.readouterr().err in ("", "Corrupt JPEG data: premature end of data segment\n")


def test_a_picture_is_upright_as_its_exif_says(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(turned_jpeg(6))  # to be turned by a quarter, clockwise
    upright = read_picture(path)
    assert upright.shape == (WIDTH, HEIGHT, 3)
    assert np.abs(upright.astype(int) - np.rot90(PICTURE, -1)).mean() < 8


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nowhere")
    for name, said in (("gone.jpg", "no such file"), ("dangling.jpg", "no such file"),
                       ("a\0b.jpg", "no such file"), ("", "is a folder")):  # fmt: skip
        with pytest.raises(SourceError, match=said):
            read_picture(tmp_path / name)
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    names = {path.name for path in tmp_path.iterdir() if is_picture(path)}
    assert names == {"dangling.jpg"}


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(encoded(".png"),))
    writer.start()
    assert np.array_equal(read_picture(path), PICTURE)
    writer.join()


def test_every_kind_that_is_read_is_a_picture_by_its_name(tmp_path: Path) -> None:
    assert KINDS == "BMP, JPEG, PNG, WebP, TIFF or GIF"
    for ending in ENDINGS:
        path = tmp_path / f"a{ending.upper()}"
        path.write_bytes(encoded(ending))
        assert is_picture(path)
        assert read_picture(path).shape == PICTURE.shape
    assert {".tif", ".tiff", ".gif", ".webp"} <= set(ENDINGS)
