"""Planes from a decoder to an encoder: not touched on the way, and meaning what they meant."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from platestream.colour import BT601, Colour
from platestream.picture import I420, bgr, video_frame
from platestream.video import VideoEncoder, VideoSource, fit
from tests.planes import COLOURS, expected_bgr, some_planes

SIZE = (320, 182)


def write(
    path: Path, colour: Colour | None, pix_fmt: str = "yuv420p", *, odd: bool = False
) -> I420:
    """A lossless video of three equal frames that says its colour, or says nothing."""
    width, height = (SIZE[0] - 1, SIZE[1] - 1) if odd else SIZE
    planes = some_planes(*SIZE, colour or BT601)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.options = {"qp": "0", "preset": "ultrafast"}
        if colour is not None:
            context = stream.codec_context
            context.colorspace, context.color_range = colour.matrix_code, colour.range_code
        for number in range(3):
            frame = video_frame(planes).reformat(width, height, pix_fmt)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return planes


@pytest.mark.parametrize("colour", [None, *COLOURS])
def test_a_decoders_planes_are_what_was_encoded(tmp_path: Path, colour: Colour | None) -> None:
    written = write(tmp_path / "a.mp4", colour)
    with VideoSource(str(tmp_path / "a.mp4")) as video:
        frames = list(video.frames())
    assert len(frames) == 3
    for frame in frames:
        assert isinstance(frame.picture, I420)
        assert frame.picture.colour == (colour or BT601)
        for ours, theirs in zip(written.planes, frame.picture.planes, strict=True):
            assert (ours == theirs).all()
            with pytest.raises(ValueError, match="read-only"):
                theirs[0, 0] = 0


@pytest.mark.parametrize("colour", [None, *COLOURS])
def test_bgr_of_them_is_ffmpegs(tmp_path: Path, colour: Colour | None) -> None:
    write(tmp_path / "a.mp4", colour)
    with av.open(str(tmp_path / "a.mp4")) as file:
        direct = next(file.decode(video=0)).to_ndarray(format="bgr24")
    with VideoSource(str(tmp_path / "a.mp4")) as video:
        image = next(video.frames()).image
    assert np.abs(image.astype(int) - direct).max() <= 1


@pytest.mark.parametrize(
    ("pix_fmt", "odd"), [("yuv444p", False), ("yuv422p", False), ("yuv444p", True)]
)
def test_other_layouts_and_odd_sides_are_bgr(tmp_path: Path, pix_fmt: str, odd: bool) -> None:
    write(tmp_path / "a.mkv", BT601, pix_fmt, odd=odd)
    with VideoSource(str(tmp_path / "a.mkv")) as video:
        frame = next(video.frames())
    assert isinstance(frame.picture, np.ndarray)
    assert frame.image is frame.picture
    assert frame.image.shape == (SIZE[1] - odd, SIZE[0] - odd, 3)


@pytest.mark.parametrize("colour", COLOURS)
def test_an_encoder_takes_planes_as_they_are_and_says_their_colour(
    tmp_path: Path, colour: Colour
) -> None:
    planes, path = some_planes(*SIZE, colour), tmp_path / "a.mp4"
    planes.y[...] = np.arange(SIZE[0]) * 180 // SIZE[0] + 30
    encoder = VideoEncoder(path, *SIZE, Fraction(25), crf=1, colour=colour)
    encoder.write(planes, 0.0)
    encoder.close()
    with VideoSource(str(path)) as video:
        (frame,) = video.frames()
    assert isinstance(frame.picture, I420)
    assert frame.picture.colour == colour
    for ours, theirs in zip(planes.planes, frame.picture.planes, strict=True):
        assert np.abs(ours.astype(int) - theirs).max() <= 6
    assert np.abs(frame.image - expected_bgr(*planes.planes, colour)).mean() < 3


@pytest.mark.parametrize("of_file", COLOURS)
@pytest.mark.parametrize("of_picture", [None, *COLOURS])
def test_a_picture_of_another_colour_looks_the_same_in_the_file(
    tmp_path: Path, of_file: Colour, of_picture: Colour | None
) -> None:
    planes, path = some_planes(*SIZE, of_picture or BT601), tmp_path / "a.mp4"
    planes.y[...] = np.arange(SIZE[0]) * 150 // SIZE[0] + 50
    encoder = VideoEncoder(path, *SIZE, Fraction(25), crf=1, colour=of_file)
    encoder.write(planes if of_picture else bgr(planes), 0.0)
    encoder.close()
    with VideoSource(str(path)) as video:
        (frame,) = video.frames()
    difference = frame.image.astype(int) - bgr(planes)
    assert np.abs(difference).mean() < 3
    assert np.abs(difference.mean((0, 1))).max() < 3


def test_planes_of_another_size_are_fitted_as_bgr() -> None:
    planes = some_planes(*SIZE, BT601)
    assert fit(planes, *SIZE) is planes
    fitted = fit(planes, 640, 480)
    assert isinstance(fitted, np.ndarray)
    assert fitted.shape == (480, 640, 3)
    assert fitted[0].max() == 0
    assert abs(fitted[240].mean() - bgr(planes).mean()) < 20
