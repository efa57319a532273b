"""Short training runs: they run, resume, and leave weights that load."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("catalyst", reason="the train extra is not installed")

from platestream.errors import DataError
from platestream.vision.detection_model import CentresConfig
from platestream.vision.detector import Detector
from platestream.vision.model_file import default_path
from platestream.vision.recognizer import Recognizer
from platestream.vision.weights import load_weights
from training.detection import run as detection
from training.detection.dataset import Material
from training.detection.photos import Photo
from training.recognition import run as recognition
from training.recognition.crops import Crop
from training.recognition.metrics import summarize
from training.recognition.plate_pictures import load
from training.synthesis.crop import plate_crop

SMALL = CentresConfig((16, 32, 16, 16, 16, 16), (1, 1, 1, 1), 16)


def noise() -> np.ndarray:
    """A picture that is looked at once, at a glance."""
    return np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)


def test_a_recognizer_run_resumes_and_its_weights_load(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    crops = []
    for number in range(6):
        made = plate_crop(rng, lines=1)
        picture, text = made.image, made.text
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), picture)
        crops.append(Crop(path, text))

    def go(epochs: int, resume: Path | None) -> None:
        options = recognition.Options(
            logs=tmp_path / "logs", epochs=epochs, steps=1, batch=4, synthetic_epochs=1,
            workers=0, threads=1, resume=resume,
        )  # fmt: skip
        pictures = load(crops)
        recognition.train(pictures, pictures, [], tmp_path / "w.safetensors", options)

    go(1, None)
    go(2, tmp_path / "logs" / "checkpoints" / "runner.last.pth")
    assert Recognizer.load(tmp_path / "w.safetensors").predict([picture])
    assert (tmp_path / "logs" / "valid.csv").read_text().count("\n") >= 2


def test_a_detector_run_and_its_weights_load(tmp_path: Path) -> None:
    image = noise()
    photo = Photo(tmp_path / "a.jpg", image, np.array([[50, 50, 90, 60]], np.float32))
    shipped = default_path("detector", ".safetensors")

    def go(name: str, start: Path | None, learning_rate: float) -> Path:
        options = detection.Options(
            logs=tmp_path / name, epochs=1, steps=1, batch=2, side=128, workers=0, threads=1,
            start=start, shape=None if start else SMALL, learning_rate=learning_rate,
        )  # fmt: skip
        output = tmp_path / f"{name}.safetensors"
        detection.train(Material([photo]), [photo], output, options)
        return output

    detector = Detector.load(go("new", None, 2e-3))
    assert detector.score_threshold >= detection.LEAST_THRESHOLD
    assert isinstance(detector.detect(image), list)
    gone_on = load_weights(go("gone-on", shipped, 0.0), "detector").tensors
    for name, tensor in load_weights(shipped, "detector").tensors.items():
        if "running" not in name and "num_batches" not in name:
            assert tensor.equal(gone_on[name]), name


def test_a_smaller_detector_learns_from_the_shipped_one(tmp_path: Path) -> None:
    image = noise()
    photo = Photo(tmp_path / "a.jpg", image, np.array([[50, 50, 90, 60]], np.float32))
    shipped = default_path("detector", ".safetensors")
    output = tmp_path / "small.safetensors"

    def go(**more: object) -> None:
        options = detection.Options(
            logs=tmp_path / "logs", epochs=1, steps=2, batch=2, side=128, workers=0, threads=1,
            shape=SMALL, **more,  # type: ignore[arg-type]
        )  # fmt: skip
        detection.train(Material([photo]), [photo], output, options)

    go(teacher=shipped)
    before, after = (load_weights(path, "detector") for path in (shipped, output))
    assert CentresConfig(**after.config["network"]).as_dict() == SMALL.as_dict() | {
        "channels": [16, 32, 16, 16, 16, 16], "blocks": [1, 1, 1, 1]
    }  # fmt: skip
    stem = [name for name in after.tensors if name.startswith("stem.")]
    assert all(after.tensors[name].equal(before.tensors[name]) for name in stem)
    assert isinstance(Detector.load(output).detect(image), list)
    with pytest.raises(DataError, match="has the shape"):
        go(start=shipped)


def test_a_smaller_recognizer_learns_from_the_shipped_one(tmp_path: Path) -> None:
    made = plate_crop(np.random.default_rng(0), lines=1)
    cv2.imwrite(str(tmp_path / "a.png"), made.image)
    pictures = load([Crop(tmp_path / "a.png", made.text)])
    shipped = default_path("recognizer", ".safetensors")
    output = tmp_path / "small.safetensors"

    def go(channels: tuple[int, ...], **how: object) -> None:
        options = recognition.Options(
            logs=tmp_path / "logs", epochs=1, steps=2, batch=4, synthetic_epochs=0, workers=0,
            threads=1, channels=channels, layers=1, **{"teacher": shipped, **how},  # type: ignore[arg-type]
        )  # fmt: skip
        recognition.train(pictures, pictures, [], output, options)

    go((8, 16, 24, 32))
    after = load_weights(output, "recognizer")
    assert after.config["network"]["channels"] == [8, 16, 24, 32]
    assert after.config["alphabet"] == load_weights(shipped, "recognizer").config["alphabet"]
    assert Recognizer.load(output).predict([made.image])
    with pytest.raises(DataError, match="cannot be made from"):
        go((64, 64, 96, 160))
    go((8, 16, 24, 30), mixer="lstm")
    after = load_weights(output, "recognizer")
    assert after.config["network"]["mixer"] == "lstm"
    assert after.config["alphabet"] == load_weights(shipped, "recognizer").config["alphabet"]
    with pytest.raises(DataError, match="name no weights to begin from"):
        go((8, 16, 24, 32), start=shipped)


@pytest.mark.parametrize("mixer", ["lstm", "none"])
def test_a_recognizer_of_another_make_begins_from_nothing(tmp_path: Path, mixer: str) -> None:
    made = plate_crop(np.random.default_rng(0), lines=1)
    cv2.imwrite(str(tmp_path / "a.png"), made.image)
    pictures = load([Crop(tmp_path / "a.png", made.text)])
    output = tmp_path / "new.safetensors"

    def go(last: int) -> None:
        options = recognition.Options(
            logs=tmp_path / "logs", epochs=1, steps=1, batch=4, synthetic_epochs=0, workers=0,
            threads=1, channels=(8, 8, 8, last), layers=1, mixer=mixer,  # type: ignore[arg-type]
        )  # fmt: skip
        recognition.train(pictures, pictures, [], output, options)

    go(16)
    network = load_weights(output, "recognizer").config["network"]
    assert (network["channels"], network["mixer"]) == ([8, 8, 8, 16], mixer)
    assert Recognizer.load(output).predict([made.image])
    if mixer == "lstm":
        with pytest.raises(DataError, match="has 15 channels, which lstm divides by 2"):
            go(15)


def test_metrics_tell_plates_from_negatives() -> None:
    pairs = [("A001AA77", "A001AA77"), ("B002BB77", "B003BB77"), ("", ""), ("", "A")]
    assert summarize(pairs) == {
        "exact": 0.5, "cer": 1 / 16, "negatives": 0.5, "score": 0.5 - 1 / 160,
    }  # fmt: skip
