"""Finding wrong labels: every crop is judged by a model that never saw it or its plate.

The crops are split by plate into folds. A model is trained on all folds but one, from weights that
have seen synthetic plates only, and judges the labels of that one. A label is suspicious where the
model thinks its own reading much likelier than the label (both as CTC probabilities, after
"confident learning", Northcutt et al. 2021, arXiv:1911.00068), where file name and second reading
give none (they differ, or the name may mean several), where no plate may carry it, or where a
near-equal picture is labelled otherwise.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from platestream import plates
from platestream.vision.probabilities import sequence_log_probability
from platestream.vision.recognizer import Recognizer
from training import labels, splits
from training.recognition.crops import Crop, read_picture
from training.recognition.start import ALPHABET

SURE = 0.9  # confidence of a reading that outvotes what people wrote
_UNLIKELY = 5.0  # nats by which a label may be less likely than the model's own reading
_BATCH = 32

Train = Callable[[Sequence[Crop], int], Recognizer]


@dataclass(frozen=True)
class Verdict:
    """What is thought of one file's label.

    Attributes:
        given: The label from file name and second reading; empty if they give none.
        written: Every text that the file name may mean, and the second reading.
        read: What the model that never saw it reads, its confidence beside it.
        suspicion: By how many nats the model thinks its reading likelier than the label.
        reasons: Why it is suspicious; empty if it is not.
        text: What to train on; empty leaves the file out.
        reviewed: Whether a person has looked at the picture.
    """

    file: str
    given: str
    written: tuple[str, ...]
    read: str
    confidence: float
    suspicion: float
    reasons: tuple[str, ...]
    text: str
    reviewed: bool

    @property
    def action(self) -> str:
        """``kept``, ``changed``, ``added`` or ``dropped``."""
        if self.text == self.given:
            return "kept"
        return "dropped" if not self.text else "changed" if self.given else "added"


def judge(
    folder: Path,
    grouped: Sequence[Sequence[str]],
    second: Mapping[str, str],
    reviewed: Mapping[str, str],
    train: Train,
    *,
    folds: int = 3,
    seed: int = 0,
) -> list[Verdict]:
    """Judges the labels of a folder's crops, the most suspicious first.

    Args:
        grouped: Files by plate, as ``crops.grouped`` gives them; a group stays in one fold.
        second: Another reading of some files.
        reviewed: Texts that a person has read; empty where no text is certain.
        train: Makes a recognizer from crops, for the fold with the given number.
    """
    files = [file for group in grouped for file in group]
    labelled = labels.from_names(files, second)
    named = labelled.texts
    near = _neighbours(folder, files)
    verdicts = []
    for number, part in enumerate(_folds(grouped, folds, seed)):
        apart = set(part)
        known = [Crop(folder / f, named[f]) for f in files if f in named and f not in apart]
        recognizer = train(known, number)
        for start in range(0, len(part), _BATCH):
            chunk = [(f, read_picture(folder / f)) for f in part[start : start + _BATCH]]
            good = [(f, image) for f, image in chunk if image is not None]
            read = recognizer.predict([image for _, image in good])
            for (file, _), plate in zip(good, read, strict=True):
                written = _written(file, second)
                given = named.get(file, "")
                assert plate.probabilities is not None
                own = "".join(c.char for c in plate.characters)
                gap = _gap(plate.probabilities, own, given) if given else 0.0
                reasons = _reasons(file, own, gap, near.get(file, ()), labelled)
                text = reviewed.get(file)
                verdicts.append(
                    Verdict(
                        file, given, written, own, plate.confidence, gap, reasons,
                        _decide(given, written, own, plate.confidence) if text is None else text,
                        text is not None,
                    )
                )  # fmt: skip
    return sorted(verdicts, key=lambda v: (not v.reasons, -v.suspicion, v.file))


def write_corrections(path: Path, verdicts: Sequence[Verdict]) -> None:
    """Writes where the verdicts differ from the labels: a CSV ``file,text,reason``.

    An empty text leaves the file out of training.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "text", "reason"])
        for verdict in sorted(verdicts, key=lambda v: v.file):
            if verdict.action != "kept":
                by = "read by eye" if verdict.reviewed else "read by a model that never saw it"
                writer.writerow([verdict.file, verdict.text, f"{verdict.action}: {by}"])


def _folds(grouped: Sequence[Sequence[str]], count: int, seed: int) -> list[list[str]]:
    left = [list(group) for group in grouped]
    parts = []
    for number in range(count - 1):
        kept, drawn = splits.split(left, 1 / (count - number), seed + number)
        parts.append(drawn)
        staying = set(kept)
        left = [group for group in left if group[0] in staying]
    return [*parts, sorted(file for group in left for file in group)]


def _neighbours(folder: Path, files: Sequence[str]) -> dict[str, list[str]]:
    near: dict[str, list[str]] = {}
    for a, b in splits.near_pairs(splits.hash_files(folder, files)):
        near.setdefault(a, []).append(b)
        near.setdefault(b, []).append(a)
    return near


def _written(file: str, second: Mapping[str, str]) -> tuple[str, ...]:
    name = labels.parse_name(file)
    texts = name.candidates() if name else []
    other = second.get(file, "")
    return tuple(dict.fromkeys([*texts, *([other] if other else [])]))


def _gap(probabilities: object, own: str, given: str) -> float:
    own_log = sequence_log_probability(probabilities, own, ALPHABET)  # type: ignore[arg-type]
    given_log = sequence_log_probability(probabilities, given, ALPHABET)  # type: ignore[arg-type]
    return max(0.0, min(99.0, own_log - given_log))


def _reasons(
    file: str, own: str, gap: float, near: Sequence[str], labelled: labels.Labels
) -> tuple[str, ...]:
    """Why a file's label is suspicious.

    Args:
        own, gap: What the model reads, and by how many nats it thinks that likelier.
        near: Files with near-equal pictures.
    """
    given = labelled.texts.get(file)
    if given is None:
        return (f"no label: {labelled.unlabelled[file]}",)
    found = []
    if own != given and gap > _UNLIKELY:
        found.append("the model reads another text")
    if plates.format_of(given) is None:
        found.append("no plate may carry it")
    if any(labelled.texts.get(other, given) != given for other in near):
        found.append("a near-equal picture is labelled otherwise")
    return tuple(found)


def _decide(given: str, written: tuple[str, ...], own: str, confidence: float) -> str:
    """People's label stands unless the model surely reads another; then another of theirs may."""
    if confidence < SURE or own == given:
        return given
    return own if own in written else ""
