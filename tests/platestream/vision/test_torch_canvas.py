"""Views made by torch against those that OpenCV makes, and what the networks make of both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import cv2
import numpy as np
import pytest

from platestream.colour import BT601, Colour
from platestream.demo import built_in_clip
from platestream.picture import I420, bgr, i420
from platestream.video import VideoSource
from platestream.vision.canvas import Canvas, CpuCanvas, Pictures
from platestream.vision.detector import Detector
from platestream.vision.geometry import Box, Corners
from platestream.vision.reader import PICTURE_TILE, PlateReader, ReadPlate
from platestream.vision.recognizer import Recognizer
from platestream.vision.tiling import Tile

torch = pytest.importorskip("torch")

from platestream.vision.backends.torch import TorchBackend  # noqa: E402
from platestream.vision.torch_canvas import TorchCanvas  # noqa: E402

Image = np.ndarray

# Grey levels. OpenCV calculates with 5 to 11 bits of a fraction, which is a level here and there.
ROUNDING = 0.2
# Where views are smaller than what they show, samples stand for a smoothing; without it edges
# differ by several levels in the mean.
SMOOTHED = 1.0
# A plate much smaller than in the picture: OpenCV smooths it a second time as it warps it.
TWICE_SMOOTHED = 3.0

PLATE = np.array([[934, 507], [1043, 505], [1045, 526], [936, 528]], np.float32)  # in `street`
FIRST = 90  # of the built-in clip's frames
NEAR: Box = (934, 505, 1045, 528)


def devices() -> Iterator[object]:
    yield "cpu"
    missing = not torch.cuda.is_available()
    yield pytest.param("cuda", marks=pytest.mark.skipif(missing, reason="there is no CUDA here"))


@pytest.fixture(params=devices())
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def street() -> Image:
    with VideoSource(str(built_in_clip()[0])) as video:
        return next(islice(video.frames(), 150, None)).image


@pytest.fixture(scope="module")
def mixed(street: Image) -> list[Image]:
    """Pictures of several sizes and kinds: 720p twice, grey, odd sides, larger, tiny."""
    return [
        street,
        street[:, ::-1].copy(),
        street[:, :, 1].copy(),
        street[:501, :777],
        cv2.resize(street, (1920, 1080)),
        cv2.resize(street, (3001, 1999)),
        np.full((1, 1, 3), 90, np.uint8),
    ]


def both(pictures: Pictures, device: str) -> tuple[CpuCanvas, TorchCanvas]:
    return CpuCanvas(pictures), TorchCanvas.of(pictures, torch.device(device))


def apart(a: object, b: object) -> float:
    """The mean absolute difference of views, in grey levels."""
    first, second = (one.cpu().numpy() if isinstance(one, torch.Tensor) else one for one in (a, b))
    assert first.shape == second.shape
    assert first.dtype == second.dtype
    return float(np.abs(first.astype(float) - second.astype(float)).mean())


def test_pictures_come_back_as_they_were(mixed: list[Image], device: str) -> None:
    ours, theirs = both(mixed, device)
    assert theirs.shapes == ours.shapes == [image.shape[:2] for image in mixed]
    for numbers in (range(7), [5, 0, 0, 2]):
        for image, number in zip(theirs.only(list(numbers)).images(), numbers, strict=True):
            assert np.array_equal(image, mixed[number])
    assert theirs.only([]).shapes == []
    assert TorchCanvas.of(theirs, torch.device(device)) is theirs
    assert all(map(np.array_equal, CpuCanvas(theirs).images(), mixed))


@pytest.mark.parametrize("colour", [BT601, Colour("bt709", full_range=True)])
def test_planes_are_made_bgr_there(street: Image, device: str, colour: Colour) -> None:
    planes: list[I420] = [i420(street, colour), i420(street[100:200, 300:500].copy(), colour)]
    given = [planes[0], street, planes[1], planes[0]]
    ours, theirs = both(given, device)
    for a, b in zip(ours.images(), theirs.images(), strict=True):
        assert apart(a, b) < 1.5  # FFmpeg calculates with few bits, and rounds down
        assert apart(b, street if a.shape == street.shape else street[100:200, 300:500]) < 3.0
    assert np.array_equal(ours.images()[0], bgr(planes[0]))


@pytest.mark.parametrize(
    "bad", [np.zeros((0, 5, 3), np.uint8), np.zeros((5, 5, 4), np.uint8), np.zeros((5, 5))]
)
def test_what_is_no_picture_is_refused(bad: Image) -> None:
    for of in (CpuCanvas, lambda pictures: TorchCanvas.of(pictures, torch.device("cpu"))):
        with pytest.raises(ValueError, match="picture of shape"):
            of([np.zeros((4, 4, 3), np.uint8), bad])


def test_letterboxes(mixed: list[Image], device: str) -> None:
    ours, theirs = both(mixed, device)
    looks = [
        (i, Tile(0, 0, width, height), long_side)
        for i, (height, width) in enumerate(ours.shapes)
        for long_side in (1024, 320)
    ]
    looks += [(4, Tile(x, 100, x + 640, 740), 1024) for x in (0, 300)]
    seen: list[dict[int, tuple[float, object]]] = [
        {
            member: (scale, view)
            for group in canvas.letterboxes(looks)
            for member, scale, view in zip(*group, strict=True)
        }
        for canvas in (ours, theirs)
    ]
    assert sorted(seen[0]) == sorted(seen[1]) == list(range(len(looks)))
    for look in range(len(looks)):
        (scale, a), (same, b) = seen[0][look], seen[1][look]
        assert scale == same
        assert apart(a, b) < ROUNDING


def test_pictures_of_one_size_in_the_end_are_one_batch(mixed: list[Image]) -> None:
    canvas = TorchCanvas.of([mixed[0], mixed[2], mixed[4]], torch.device("cpu"))
    looks = [(i, Tile(0, 0, w, h), 1024) for i, (h, w) in enumerate(canvas.shapes)]
    (group,) = canvas.letterboxes(looks)
    assert (sorted(group.members), group.batch.shape) == ([0, 1, 2], (3, 576, 1024, 3))


@pytest.mark.parametrize("share", [0.5, 0.35])
def test_close_ups(mixed: list[Image], device: str, share: float) -> None:
    ours, theirs = both(mixed, device)
    enlarged: list[tuple[int, Box]] = [
        (0, NEAR),
        (2, NEAR),
        (1, (-30, 300, 40, 320)),  # at and beyond edges
        (3, (700, 480, 790, 510)),
        (6, (0, 0, 1, 1)),
        (0, (5000, 5000, 5060, 5020)),
    ]
    smaller: list[tuple[int, Box]] = [
        (4, (1300, 707, 1600, 810)),
        (5, (2100, 1300, 2700, 1500)),
        (0, (-50, -50, 400, 300)),
        (0, (0, 0, 1280, 720)),
        (5, (0, 0, 3001, 1999)),
        (0, (5000, 5000, 5900, 5040)),
    ]
    places = [place for pair in zip(enlarged, smaller, strict=True) for place in pair]
    a, b = ours.close_ups(places, share), theirs.close_ups(places, share)
    assert a.matrices == pytest.approx(b.matrices)
    for place, one, other in zip(places, a.batch, b.batch, strict=True):
        assert apart(one, other) <= (ROUNDING if place in enlarged else SMOOTHED)


def test_flat_plates(mixed: list[Image], device: str) -> None:
    ours, theirs = both(mixed, device)
    square = np.array([[900, 480], [1000, 480], [1000, 540], [900, 540]], np.float32)
    near = np.array([[500, 500], [1500, 520], [1500, 800], [500, 780]], np.float32)
    filling = np.array([[100, 500], [2900, 520], [2900, 1200], [100, 1180]], np.float32)
    plates: list[tuple[int, Corners, float]] = [
        (0, PLATE, ROUNDING),
        (5, near, TWICE_SMOOTHED),
        (2, PLATE, ROUNDING),
        (0, square, ROUNDING),
        (0, PLATE - [930, 500], ROUNDING),  # over the edge
        (5, filling, TWICE_SMOOTHED),
        (1, PLATE + np.array([300, 210]), ROUNDING),  # wholly outside
    ]
    wanted = [(i, np.asarray(corners, np.float32)) for i, corners, _ in plates]
    flat, same = ours.flatten(wanted), theirs.flatten(wanted)
    assert flat.shapes == same.shapes
    for (_, _, bound), a, b in zip(plates, flat.images(), same.images(), strict=True):
        assert apart(a, b) < bound
    lines = [(i, count) for i in (4, 0, 3, 2) for count in (1, 2)]
    expected = flat.lines(lines, 192, 48)
    # in standard deviations of a plate's grey levels, each of some 50
    assert apart(expected, same.lines(lines, 192, 48)) < ROUNDING / 20
    assert theirs.flatten([]).images() == []


@pytest.mark.parametrize("factor", [[0, 0], [1, 0], [np.nan, 1]], ids=["point", "line", "nowhere"])
def test_corners_that_span_nothing_are_refused(street: Image, factor: list[float]) -> None:
    degenerate = np.asarray(PLATE * factor, np.float32)
    for canvas in both([street], "cpu"):
        with pytest.raises(ValueError, match="do not span"):
            canvas.flatten([(0, PLATE), (0, degenerate)])


def test_any_picture_is_made_lines_of(mixed: list[Image], device: str) -> None:
    pictures = [mixed[0][:40, :160], mixed[2][:56, :90], mixed[3][:33, :300], mixed[6]]
    ours, theirs = both([one.copy() for one in pictures], device)
    lines = [(i, count) for count in (2, 1) for i in range(4)]
    assert apart(ours.lines(lines, 192, 48), theirs.lines(lines, 192, 48)) < ROUNDING / 10


@pytest.fixture(scope="module")
def models() -> tuple[Detector, Recognizer]:
    return (
        Detector.load(backend="torch", threads=1, video=True, tile=PICTURE_TILE),
        Recognizer.load(backend="torch", threads=1),
    )


def on_device(models: tuple[Detector, Recognizer]) -> PlateReader:
    """A reader whose views torch makes on the CPU."""
    detector, recognizer = models
    made = []
    for network in (detector.network, recognizer.network):
        assert isinstance(network.run, TorchBackend)
        made.append(replace(network, canvas=network.run.canvas))
    threshold, formats = recognizer.threshold, recognizer.formats
    return PlateReader(
        Detector(made[0], detector.score_threshold, tile=detector.tile),
        Recognizer(made[1], recognizer.alphabet, recognizer._size, threshold, formats),
    )


def alike(ours: list[list[ReadPlate]], theirs: list[list[ReadPlate]], least: float = 0.01) -> int:
    """How many plates are the same in both; asserts that all are.

    Args:
        least: The confidence from which on best guesses must be the same: of what can hardly be
            read a rounding makes another character, and of what is nearly sure a ``?``.
    """
    for a, b in zip(ours, theirs, strict=True):
        for one, other in zip(a, b, strict=True):
            assert one.text.guess == other.text.guess or one.text.confidence < least
            assert np.abs(one.detection.corners - other.detection.corners).max() < 0.2
            assert one.detection.score == pytest.approx(other.detection.score, abs=0.02)
            assert one.crop.shape == other.crop.shape
    return sum(map(len, ours))


def test_the_same_plates_are_found_and_read(
    models: tuple[Detector, Recognizer], mixed: list[Image]
) -> None:
    detector, recognizer = models
    plain = Recognizer(
        recognizer.network,
        recognizer.alphabet,
        recognizer._size,
        recognizer.threshold,
        recognizer.formats,
    )
    ours, theirs = PlateReader(detector, plain), on_device(models)
    assert (ours.takes_planes, theirs.takes_planes) == (False, True)
    with VideoSource(str(built_in_clip()[0])) as video:
        frames = [frame.image.copy() for frame in islice(video.frames(), FIRST, 300, 70)]
    assert alike(ours.read(frames), theirs.read(frames)) >= 4
    pictures = [*mixed[:5], np.full((720, 1280, 3), 90, np.uint8)]
    assert alike(ours.read(pictures), theirs.read(pictures)) >= 4
    near: list[list[Box] | None] = [[NEAR], None, [], [NEAR, (0, 0, 60, 20)], [NEAR], None]
    assert alike(ours.read(pictures, near), theirs.read(pictures, near)) >= 2
    planes = [i420(street, BT601) for street in frames]
    # FFmpeg's BGR is a level darker, by which what is hardly read may change
    assert alike(ours.read(planes), theirs.read(planes), least=0.5) >= 4
    assert theirs.read([]) == []


def test_a_recognizer_elsewhere_gets_plates_as_pictures(
    models: tuple[Detector, Recognizer], street: Image
) -> None:
    canvas: Canvas = TorchCanvas.of([street], torch.device("cpu"))
    recognizer = models[1]
    assert recognizer.network.canvas is CpuCanvas
    (text,) = recognizer.predict(canvas.flatten([(0, PLATE)]))
    (same,) = recognizer.predict(CpuCanvas([street]).flatten([(0, PLATE)]))
    assert text.text == same.text


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA here")
def test_on_cuda_the_same_is_read(street: Image) -> None:
    ours = PlateReader.load(backend="torch", precision="fp32", video=True)
    theirs = PlateReader.load(backend="torch", precision="fp32", video=True, device="cuda")
    assert theirs.takes_planes
    for count in (1, 2, 5):  # batches that are filled up, and such that are not
        assert alike(ours.read([street] * count), theirs.read([street] * count), least=0.5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA here")
def test_on_cuda_bf16_reads_what_is_sure(street: Image) -> None:
    ours = PlateReader.load(backend="torch", precision="fp32", video=True).read([street])[0]
    theirs = PlateReader.load(backend="torch", precision="bf16", video=True, device="cuda")
    read = {plate.text.text for plate in theirs.read([street])[0]}
    sure = {plate.text.text for plate in ours if plate.text.confidence > 0.95}
    assert sure
    assert sure <= read
