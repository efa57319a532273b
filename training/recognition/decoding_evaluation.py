"""What decoding makes of the recognizer's probabilities: best path, beam search, plate formats."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from platestream.errors import DataError
from platestream.grammar import State
from platestream.vision.beam_search import search
from platestream.vision.decoding import FORMAT_ODDS, choose, decode_batch, greedy
from platestream.vision.recognizer import Recognizer
from training.intervals import share
from training.recognition.crops import plate_folder, read_picture
from training.recognition.evaluation import true_texts
from training.transforms import street

Image = npt.NDArray[np.uint8]
Row = dict[str, Any]

_ODDS = (1.0, 0.3, FORMAT_ODDS, 0.03, 0.001)  # 1: formats do not matter
_BATCH = 16


def evaluate(
    recognizer: Recognizer, root: Path, truth: Path | None, copies: int, seed: int
) -> dict[str, Any]:
    """Judges on crops as they are, and on copies of them that the street has been at.

    Every crop is taken for one line; the second look of ``recognize`` has no part in it.

    Args:
        root: An unpacked CropNumbers, or a folder of crops.
        truth: A CSV of checked texts; without it file names are taken as they are.
        copies: So many of each crop.

    Returns:
        ``crops`` and ``copies``, each a list of ways to decode: ``way``, the share that is exact,
        how many are ``mended`` and ``spoiled`` beside the best path, how many are read as another
        plate (``wrong_plates``), and ``ms`` a plate on one core.

    Raises:
        DataError: See ``true_texts``; or no picture can be read.
    """
    folder = plate_folder(root)
    texts = true_texts(folder, truth, recognizer.formats)
    pairs = [(i, t) for f, t in texts.items() if (i := read_picture(folder / f)) is not None]
    if not pairs:
        raise DataError(f"no picture in '{folder}' that has a text can be read")
    cv2.setRNGSeed(seed)
    np.random.seed(seed)  # part of what the street does takes its chances from there
    harm = street(seed)
    grey = [(cv2.cvtColor(i, cv2.COLOR_BGR2GRAY) if i.ndim == 3 else i, t) for i, t in pairs]
    harmed = [(harm(image.astype(np.uint8)), text) for image, text in grey for _ in range(copies)]
    result: dict[str, Any] = {"crops": _ways(recognizer, pairs)}
    if harmed:
        result["copies"] = _ways(recognizer, harmed)
    return result


def _ways(recognizer: Recognizer, pairs: Sequence[tuple[Image, str]]) -> list[Row]:
    parts = [
        recognizer.probabilities([image for image, _ in pairs[at : at + _BATCH]])
        for at in range(0, len(pairs), _BATCH)
    ]
    probabilities, alphabet = np.concatenate(parts), recognizer.alphabet
    texts = [text for _, text in pairs]
    grammar = recognizer.formats.grammar(1)
    began = time.perf_counter()
    paths = ["".join(c.char for c in greedy(one, alphabet)) for one in probabilities]
    rows = [_row("best path", texts, paths, paths, grammar, began)]
    for odds in _ODDS:
        began = time.perf_counter()
        read = [_searched(one, alphabet, grammar, odds) for one in probabilities]
        rows.append(_row(f"beam search, odds {odds}", texts, read, paths, grammar, began))
    began = time.perf_counter()
    read = []
    for at in range(0, len(texts), _BATCH):
        part = probabilities[at : at + _BATCH]
        decoded = decode_batch(part, alphabet, recognizer.threshold, recognizer.formats)
        read += [text.guess for text in decoded]
    rows.append(_row("as it is done", texts, read, paths, grammar, began))
    return rows


def _searched(
    probabilities: npt.NDArray[np.float32], alphabet: str, grammar: State, odds: float
) -> str:
    return choose(search(probabilities, alphabet, grammar), grammar, odds).text


def _is_plate(text: str, grammar: State) -> bool:
    state = grammar.after(text)
    return state is not None and bool(state.formats)


def _row(
    way: str,
    texts: Sequence[str],
    read: Sequence[str],
    paths: Sequence[str],
    grammar: State,
    began: float,
) -> Row:
    took_s = time.perf_counter() - began
    right = [a == b for a, b in zip(read, texts, strict=True)]
    before = [a == b for a, b in zip(paths, texts, strict=True)]
    changes = list(zip(right, before, strict=True))
    return {
        "way": way,
        "exact": share(sum(right), len(texts)),
        "mended": changes.count((True, False)),
        "spoiled": changes.count((False, True)),
        "wrong_plates": sum(
            _is_plate(r, grammar) for r, t in zip(read, texts, strict=True) if r != t
        ),
        "ms": round(1000 * took_s / max(1, len(texts)), 3),
    }
