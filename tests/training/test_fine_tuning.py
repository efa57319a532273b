"""Another country, by the command line alone: drawn, trained, calibrated, exported, read."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("catalyst", reason="the train extra is not installed")
pytest.importorskip("onnx", reason="the train extra is not installed")

from platestream import cli, options, plates
from platestream.errors import DataError
from platestream.vision import plate_formats
from platestream.vision.decoding import OTHER
from platestream.vision.model_file import default_path
from platestream.vision.onnx_file import load_onnx
from platestream.vision.recognizer import Recognizer
from platestream.vision.weights import load_weights
from training.recognition.crops import gather_labelled
from training.synthesis.plain_plate import plain_plate
from training.synthesis.plate import PLATE_MM, render_plate

pytestmark = pytest.mark.soak  # it trains twice, each time in a process of its own

SHIPPED = default_path("recognizer", ".safetensors")
# one format that the shipped network can read already, and one with letters that it cannot
COUNTRY = """
alphabet = "0123456789ABCEFW"

[countries.xy]
letters = "ABCE"
symbols = { N = "FW" }

[[countries.xy.formats]]
name = "xy-1"
pattern = "000LLL00"
spaced = "000 LLL 00"
aspect = 4.64

[[countries.xy.formats]]
name = "xy-new"
pattern = "NN000"
spaced = "NN-000"
aspect = 4.64
"""


def run(*arguments: object) -> int:
    """The command line, in this process."""
    return options.invoke_app(cli.app, "platestream", list(map(str, arguments)))


def train(*arguments: object) -> str:
    """``train recognizer`` in a process of its own, as its loaders fork; what it says."""
    command = [sys.executable, "-m", "platestream", "train", "recognizer", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the country's file, drawn crops, and weights of two steps that change none."""
    folder = tmp_path_factory.mktemp("country")
    (folder / "xy.toml").write_text(COUNTRY)
    drawn = ("draw-plates", folder / "crops", "--formats", folder / "xy.toml", "--count", 40)
    assert run(*drawn) == 0
    train(
        "--start", SHIPPED, "--formats", folder / "xy.toml",
        "--data", folder / "crops", "--labels", folder / "crops" / "labels.csv",
        "--epochs", 1, "--steps", 1, "--synthetic-epochs", 0, "--learning-rate", 0,
        "--threads", 1, "--logs", folder / "logs", "--output", folder / "xy.safetensors",
    )  # fmt: skip
    return folder


def test_what_is_known_is_carried_over(made: Path) -> None:
    before, after = (load_weights(p, "recognizer") for p in (SHIPPED, made / "xy.safetensors"))
    assert before.config["alphabet"].endswith(OTHER)
    assert after.config["alphabet"] == before.config["alphabet"] + "FW"
    rows = len(before.config["alphabet"]) + 1
    assert after.config["network"] == {**before.config["network"], "classes": rows + 2}
    for name, tensor in before.tensors.items():
        if "running" not in name and "num_batches" not in name:  # those follow what is seen
            kept = after.tensors[name]
            if name.startswith("head."):
                assert len(kept) == rows + 2
                assert not kept[rows].equal(kept[rows + 1])  # two characters, not one
                kept = kept[:rows]
            assert tensor.equal(kept), name


def test_the_formats_go_with_the_weights_to_whoever_reads(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    cv2.imwrite(str(made / "a.png"), plain_plate(("412 ABC 07",), PLATE_MM, rng))
    cv2.imwrite(str(made / "b.png"), render_plate("A301PO174", px_per_mm=0.5))
    onnx = made / "xy.onnx"
    assert run("export", "recognizer", "--weights", made / "xy.safetensors", "--output", onnx) == 0
    said = load_onnx(onnx, "recognizer").header.config
    assert said == load_weights(made / "xy.safetensors", "recognizer").config
    pictures = (made / "a.png", made / "b.png")
    for weights in (made / "xy.safetensors", onnx):
        capsys.readouterr()
        assert run("recognize", *pictures, "--weights", weights, "--json") == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [(line["text"], line["format"]) for line in lines] == [
            ("412ABC07", "xy-1"), ("A301PO174", "ru-1"),
        ]  # fmt: skip
        assert lines[0]["accepted"]
        formats = plate_formats.choose(weights, None)  # what a tracker, without the network, knows
        assert formats.format_of("FW123") == "xy-new"
        assert formats.values() == Recognizer.load(weights).formats.values()
    assert Recognizer.load().predict(cv2.imread(str(pictures[0]))).format is None
    assert plate_formats.choose(None, None) is plates.shipped()
    run("recognize", pictures[0], "--weights", onnx)
    assert "xy-1" in capsys.readouterr().out


def test_fine_tuned_weights_are_judged_calibrated_and_trained_on(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crops, labels = made / "crops", made / "crops" / "labels.csv"
    weights = made / "xy.safetensors"
    capsys.readouterr()
    judge = ("evaluate", "recognizer", "--data", crops, "--labels", labels, "--json")
    assert run(*judge, "--weights", weights, "--backend", "torch") == 0
    judged = json.loads(capsys.readouterr().out)
    assert judged["exact"]["of"] == 40
    assert judged["formats"]["xy-1"] >= 5
    assert run(*judge) == 2  # the shipped ones know no F
    assert "which is not in the alphabet" in capsys.readouterr().err
    assert run(*judge, "--formats", made / "xy.toml") == 0  # but may be judged on them all the same
    known = json.loads(capsys.readouterr().out)["exact"]["hits"]
    assert 0 < known <= 20  # those of xy-1 at best

    (made / "known").mkdir()
    for number in range(32):
        picture = render_plate(f"A{300 + number}PO174", px_per_mm=0.5)
        cv2.imwrite(str(made / "known" / f"A{300 + number}PO 174_{number}.png"), picture)
    output = made / "calibrated.safetensors"
    with (made / "known.csv").open("w", newline="") as file:
        rows = [[p.name, p.stem[:10].replace(" ", "")] for p in (made / "known").iterdir()]
        csv.writer(file).writerows([["file", "text"], *rows])
    fit = ("calibrate", "recognizer", "--data", made / "known", "--labels", made / "known.csv")
    assert run(*fit, "--weights", weights, "--output", output, "--threshold", 0.8) == 0
    config = load_weights(output, "recognizer").config
    assert config["threshold"] == 0.8
    assert config["formats"] == load_weights(weights, "recognizer").config["formats"]

    said = train(
        "--start", output, "--formats", made / "xy.toml", "--epochs", 1, "--steps", 1,
        "--threads", 1, "--logs", made / "more", "--data", made / "known",
        "--output", made / "more.safetensors",
    )  # fmt: skip
    assert "0 without a label" in said  # names alone will do
    assert load_weights(made / "more.safetensors", "recognizer").config["alphabet"].endswith("*FW")


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ("00003.jpg,QW123", "'QW123' of '00003.jpg' has 'Q', which is not in the alphabet"),
        ("gone.jpg,FW123", "'gone.jpg' is not in"),
    ],
)
def test_a_label_that_does_not_hold_is_named(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], row: str, named: str
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text(f"file,text\n00001.jpg,FW123\n{row}\n")
    arguments = (
        "train", "recognizer", "--start", SHIPPED, "--formats", made / "xy.toml",
        "--data", made / "crops", "--labels", labels, "--logs", tmp_path / "logs",
        "--output", tmp_path / "w.safetensors",
    )  # fmt: skip
    assert run(*arguments) == 2
    said = capsys.readouterr().err
    assert "line 3" in said
    assert named in said
    assert "Traceback" not in said
    assert not (tmp_path / "w.safetensors").exists()


def test_russian_crops_of_ones_own_need_no_formats(tmp_path: Path) -> None:
    texts = [f"A{300 + number}PO174" for number in range(3)]
    for number, text in enumerate(texts):
        cv2.imwrite(str(tmp_path / f"{number}.png"), render_plate(text, px_per_mm=0.5))
    labels = tmp_path / "labels.csv"
    labels.write_text("file,text\n" + "".join(f"{n}.png,{t}\n" for n, t in enumerate(texts)))
    said = train(
        "--start", SHIPPED, "--data", tmp_path, "--labels", labels, "--epochs", 1, "--steps", 1,
        "--threads", 1, "--logs", tmp_path / "logs", "--output", tmp_path / "w.safetensors",
    )  # fmt: skip
    assert "3 to watch, 0 held out, 0 without a label" in said  # so alike that they stay together
    before, after = (load_weights(p, "recognizer") for p in (SHIPPED, tmp_path / "w.safetensors"))
    assert after.config["alphabet"] == before.config["alphabet"]


def test_crops_none_of_which_has_a_text_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), render_plate("A301PO174", px_per_mm=0.5))
    output = tmp_path / "w.safetensors"
    assert run("train", "recognizer", "--data", tmp_path, "--output", output) == 2
    said = capsys.readouterr().err
    assert "no crop to watch" in said
    assert "Traceback" not in said


def test_names_that_are_texts(made: Path, tmp_path: Path) -> None:
    formats = plates.shipped().joined(plates.load(made / "xy.toml"))
    names = ["fw-123.png", "412 ABC 07.jpg", "412ABC07_2.jpg", "412ABC07 (3).jpg", "A301PO174.jpg",
             "FZ123.png", "412ABC.png"]  # fmt: skip
    for number, name in enumerate(names):
        noise = np.random.default_rng(number).integers(0, 255, (30, 90, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / name), noise)
    found = gather_labelled(tmp_path, None, formats, valid_share=0.3)
    texts = {crop.path.name: crop.text for crop in [*found.train, *found.valid]}
    assert texts == {
        "fw-123.png": "FW123", "412 ABC 07.jpg": "412ABC07", "412ABC07_2.jpg": "412ABC07",
        "412ABC07 (3).jpg": "412ABC07", "A301PO174.jpg": "A301PO174",
    }  # fmt: skip
    assert not {c.text for c in found.train} & {c.text for c in found.valid}
    assert "'Z' is not in the alphabet" in found.unlabelled["FZ123.png"]
    assert "'412ABC' fits no plate format" in found.unlabelled["412ABC.png"]
    (tmp_path / "empty.csv").write_text("file,text\n")
    with pytest.raises(DataError, match="has a text"):
        gather_labelled(tmp_path, tmp_path / "empty.csv", formats)


def test_what_does_not_go_together_is_said(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ("train", "recognizer", "--data", made / "crops", "--output", made / "no.safetensors",
            "--logs", made / "no", "--start", SHIPPED, "--formats", made / "xy.toml")  # fmt: skip
    labels = made / "crops" / "labels.csv"
    assert run(*base, "--labels", labels, "--mixer", "lstm") == 2
    assert "has the mixer attention, not lstm" in capsys.readouterr().err
    assert run(*base, "--corrections", labels) == 2
    assert "--corrections does not go with --formats" in capsys.readouterr().err
    assert run("draw-plates", made / "crops", "--formats", made / "xy.toml") == 2
    assert "has a labels.csv already" in capsys.readouterr().err
    (made / "odd.toml").write_text(
        'alphabet = "Ё1"\n[countries.zz]\nletters = "Ё"\n[[countries.zz.formats]]\n'
        'name = "zz-1"\npattern = "L"\naspect = 2\n'
    )
    assert run("draw-plates", made / "odd", "--formats", made / "odd.toml") == 2
    assert "format 'zz-1': there is no drawn shape for 'Ё'" in capsys.readouterr().err
    assert not (made / "odd").exists()
