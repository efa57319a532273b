"""What the recognizer's word counts where the detector is in doubt; no network runs here."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from platestream.vision.canvas import CpuCanvas
from platestream.vision.decoding import PlateText
from platestream.vision.detector import Detection, Detector
from platestream.vision.geometry import Box
from platestream.vision.model_file import default_path
from platestream.vision.reader import PlateReader
from platestream.vision.recognizer import Recognizer

THRESHOLD = 0.6
PICTURE = np.zeros((200, 400, 3), np.uint8)


class Seen(Detector):
    """Gives these scores, each for a plate of its own, and notes what it was asked."""

    def __init__(self, *scores: float) -> None:
        self.score_threshold = THRESHOLD
        self.network = SimpleNamespace(canvas=CpuCanvas)  # type: ignore[assignment]
        self._scores = scores
        self.asked: list[tuple[str, float | None]] = []

    def _all(self, least: float | None) -> list[Detection]:
        quad = np.array([[10, 10], [90, 10], [90, 30], [10, 30]], np.float32)
        shift = np.array([0, 40], np.float32)
        return [
            Detection(quad + i * shift, score)
            for i, score in enumerate(self._scores)
            if score >= (least or 0)
        ]

    def detect(self, images, least=None):  # type: ignore[no-untyped-def, override]
        self.asked.append(("whole", least))
        return [self._all(least) for _ in images.shapes]

    def detect_near(
        self, images: object, places: Sequence[Sequence[Box]], least: float | None = None
    ) -> list[list[Detection]]:
        self.asked.append(("near", least))
        return [self._all(least)[: len(boxes)] for boxes in places]


class Says(Recognizer):
    """Gives these texts, one after the other."""

    def __init__(self, *texts: PlateText) -> None:
        self._texts = texts

    def predict(self, images):  # type: ignore[no-untyped-def, override]
        return list(self._texts[: len(images.shapes)])


def text(raw: str, confidence: float) -> PlateText:
    return PlateText(raw, confidence, (), False, raw)


@pytest.mark.parametrize(
    ("score", "said", "kept"),
    [
        (0.65, text("", 0.5), True),  # nothing is read, and that is not sure
        (0.65, text("", 0.999), False),  # a lamp
        (0.95, text("", 0.999), True),  # a plate that cannot be read, but plain to see
        (0.4, text("A001AA77", 0.9), True),  # cut or dark, but it can be read
        (0.4, text("A0", 0.1), False),
        (0.4, text("", 0.999), False),
        (0.3, text("A001AA77", 0.9), False),  # too faint: it would not even be asked for
    ],
)
def test_a_doubtful_plate_is_one_if_it_can_be_read(
    score: float, said: PlateText, kept: bool
) -> None:
    (found,) = PlateReader(Seen(score), Says(said)).read([PICTURE])
    assert bool(found) is kept
    assert all(plate.detection.score >= THRESHOLD for plate in found)


def test_in_a_video_the_doubtful_ones_are_left_to_the_next_frame() -> None:
    detector = Seen(0.9, 0.4)
    reader = PlateReader(detector, Says(*[text("A001AA77", 0.9)] * 2), doubtful=False)
    (found,) = reader.read([PICTURE])
    assert len(found) == 1
    assert detector.asked == [("whole", THRESHOLD)]


def test_a_plate_that_is_expected_may_waver() -> None:
    said = text("", 0.5)
    for near, kept in ((None, False), ([[(10, 10, 90, 30)]], True)):
        (found,) = PlateReader(Seen(0.5), Says(said)).read([PICTURE], near)
        assert bool(found) is kept
    (found,) = PlateReader(Seen(0.38), Says(text("", 0.999))).read([PICTURE], near)
    assert not found  # what has come to be there is no plate


def test_the_surest_comes_first_by_both_together() -> None:
    reader = PlateReader(Seen(0.8, 0.75), Says(text("", 0.5), text("A001AA77", 0.9)))
    (found,) = reader.read([PICTURE])
    assert [plate.text.raw for plate in found] == ["A001AA77", ""]
    assert [round(plate.detection.score, 2) for plate in found] == [0.9, 0.8]


def test_pictures_are_looked_at_near_places_or_everywhere() -> None:
    detector = Seen(0.9, 0.8)
    reader = PlateReader(detector, Says(*[text("A001AA77", 0.9)] * 3))
    near: list[Sequence[Box] | None] = [None, [(10, 10, 90, 30)], []]
    found = reader.read([PICTURE] * 3, near)
    assert [len(plates) for plates in found] == [2, 1, 0]
    assert [how for how, _ in detector.asked] == ["whole", "near"]
    assert all(least is not None and 0.3 < least < THRESHOLD for _, least in detector.asked)


def test_a_plate_that_the_edge_may_have_cut_is_shown_but_not_accepted() -> None:
    said = PlateText("A001AA77", 0.99, (), True, "A001AA77", probabilities=np.eye(3))
    reader = PlateReader(Seen(0.9), Says(said, said))
    whole, cut = (plates[0] for plates in reader.read([PICTURE, PICTURE[:, :94]]))
    assert (whole.cut, whole.text) == (False, said)
    assert (cut.cut, cut.text.text, cut.text.accepted) == (True, "A001AA77", False)
    assert cut.text.probabilities is None  # other frames, which show all of it, have the word


def test_a_video_is_read_with_the_small_networks() -> None:
    endings = (".onnx", ".int8.onnx", ".safetensors")
    for video in (False, True):
        reader = PlateReader.load(threads=1, video=video)
        for task, part in (("detector", reader._detector), ("recognizer", reader._recognizer)):
            possible = [default_path(task, ending, small=video) for ending in endings]
            assert part.network.path in possible
        assert reader._doubtful is not video
