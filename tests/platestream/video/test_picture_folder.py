"""A folder of pictures is a video."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from platestream.errors import SourceError
from platestream.video import PictureFolder, open_file
from tests.numbered import number_of, numbered_picture


def save(path: Path, number: int, size: tuple[int, int] = (320, 180)) -> None:
    assert cv2.imwrite(str(path), numbered_picture(number, *size))


def test_pictures_come_in_natural_order_at_the_given_rate(tmp_path: Path) -> None:
    names = ["img1.jpg", "img2.PNG", "img10.jpeg", "img010.TIF", "img11.gif"]
    for number, name in enumerate(names):
        save(tmp_path / name.lower(), number)
        (tmp_path / name.lower()).rename(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    with open_file(str(tmp_path), 4.0) as folder:
        assert (folder.width, folder.height, folder.rate, folder.promised) == (320, 180, 4, 5)
        frames = list(folder.frames())
        assert folder.complaints(5) == []
        later = list(folder.frames(skip=3))
    got = [number_of(frame.image) for frame in frames]
    assert sorted(got) == [0, 1, 2, 3, 4]
    assert got[:2] == [0, 1]
    assert got[-1] == 4
    assert [frame.pts_s for frame in frames] == [0, 0.25, 0.5, 0.75, 1.0]
    assert [(number_of(f.image), f.pts_s) for f in later] == [(got[3], 0.75), (4, 1.0)]


def test_unreadable_pictures_are_passed_over_and_said(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8 no picture")
    save(tmp_path / "b.png", 1)
    (tmp_path / "c.png").write_bytes((tmp_path / "b.png").read_bytes()[:40])
    (tmp_path / "d.bmp").write_bytes(b"")
    save(tmp_path / "e.jpg", 2)
    with PictureFolder(str(tmp_path), 5) as folder:  # type: ignore[arg-type]
        frames = list(folder.frames())
        assert [number_of(frame.image) for frame in frames] == [1, 2]
        assert frames[1].pts_s == pytest.approx(0.2)
        (said,) = folder.complaints(2)
    assert "3 of 5 pictures" in said
    assert "a.jpg" in said


def test_a_picture_that_says_it_is_huge_is_not_unpacked(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 1)
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    (tmp_path / "b.png").write_bytes(data)
    with open_file(str(tmp_path)) as folder:
        assert len(list(folder.frames())) == 1
        assert "b.png" in folder.complaints(1)[0]


def test_grey_and_transparent_pictures_become_bgr(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), np.full((40, 60), 120, np.uint8))
    cv2.imwrite(str(tmp_path / "b.png"), np.full((40, 60, 4), 120, np.uint8))
    with open_file(str(tmp_path)) as folder:
        assert [frame.image.shape for frame in folder.frames()] == [(40, 60, 3)] * 2


@pytest.mark.parametrize(("name", "said"), [(None, "holds no pictures"), ("a.jpg", "can be read")])
def test_a_folder_without_a_picture_is_refused(tmp_path: Path, name: str | None, said: str) -> None:
    if name:
        (tmp_path / name).write_bytes(b"rubbish")
    with pytest.raises(SourceError, match=said) as caught:
        open_file(str(tmp_path))
    assert str(tmp_path) in str(caught.value)
