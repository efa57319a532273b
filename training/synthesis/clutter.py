"""Crops of what is no Russian plate: lettering, lamps, grilles, blank and foreign plates."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from platestream import plates
from platestream.vision.decoding import OTHER
from training.synthesis.camera import photograph
from training.synthesis.crop import CROP_SIZE, SyntheticCrop, photographed, random_cut
from training.synthesis.ground import grille, ground, lamps
from training.synthesis.lettering import ink, line_of_text, telephone, word
from training.synthesis.plain_plate import plain_plate
from training.synthesis.plate import PLATE_MM
from training.synthesis.surface import mount

Image = npt.NDArray[np.uint8]

_LATIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Patterns of other countries' plates: L a letter of the country's, 0 a digit, a blank a gap. After
# UN/ECE's and the countries' own descriptions; only for crops that look like them.
_FOREIGN = {
    "Belarus": ("0000 LL-0", "ABEIKMHOPCTX"),
    "Estonia": ("000 LLL", _LATIN),
    "Georgia": ("LL-000-LL", _LATIN),
    "Germany": ("LL LL 000", _LATIN),
    "Kazakhstan": ("000 LLL 00", _LATIN),
    "Kyrgyzstan": ("00 000 LLL", _LATIN),
    "Lithuania": ("LLL 000", _LATIN),
    "Poland": ("LL 00000", _LATIN),
    "Ukraine": ("LL 0000 LL", "ABCEHIKMOPTX"),
    "Uzbekistan": ("00 L 000 LL", _LATIN),
}
_SIGN_GROUNDS = ((235, 235, 235), (30, 30, 30), (190, 90, 20), (30, 30, 190), (40, 190, 240),
                 (60, 140, 50), (130, 130, 130))  # fmt: skip


def empty_crop(
    rng: np.random.Generator,
    grounds: Sequence[Image] = (),
    size: tuple[int, int] = CROP_SIZE,
) -> Image:
    """A crop without a plate to read: a ground, often with lettering, bars, lamps or a blank plate.

    Args:
        grounds: Pictures without plates; drawn ones where there are none.
        size: Width and height in pixels.

    Returns:
        HxWx3 uint8 BGR.
    """
    scene = ground(rng, grounds, size)
    kind = rng.random()
    if kind < 0.4:
        _sign(scene, rng)
    elif kind < 0.48:
        grille(scene, rng)
    elif kind < 0.55:
        lamps(scene, rng)
    elif kind < 0.66:
        _blank(scene, rng)
    return photograph(scene, rng)


def _sign(scene: Image, rng: np.random.Generator) -> None:
    """Words, telephones or a house's number, mostly on a board of one colour, in place."""
    height, width_ = scene.shape[:2]
    board = np.array(_SIGN_GROUNDS[int(rng.integers(len(_SIGN_GROUNDS)))], np.float32)
    colour = rng.uniform(0, 255, 3)
    if rng.random() < 0.7:
        scene[:] = (scene * 0.15 + board * 0.85).astype(np.uint8)
        dark = float(board.mean()) < 128
        colour = np.array((235, 235, 235) if dark else (25, 25, 25)) + rng.uniform(-25, 25, 3)
    rows = 1 if rng.random() < 0.6 else int(rng.integers(2, 4))
    pitch = height / rows * float(rng.uniform(0.8, 1.2))
    for row in range(rows):
        size = int(pitch * float(rng.uniform(0.4, 0.9)))
        text = (telephone(rng) if rng.random() < 0.25 else
                str(rng.integers(1, 1000)) if rng.random() < 0.15 else word(rng, 12))  # fmt: skip
        mask = line_of_text(rng, text, size)
        ink(scene, mask, int(rng.uniform(-0.15, 0.4) * width_),
            int(row * pitch + rng.uniform(0, 0.3) * pitch), colour)  # fmt: skip


def _blank(scene: Image, rng: np.random.Generator) -> None:
    """A plate's ground and frame with nothing on it, in place."""
    height, width_ = scene.shape[:2]
    a = (int(rng.uniform(0, 0.2) * width_), int(rng.uniform(0, 0.25) * height))
    b = (int(rng.uniform(0.8, 1) * width_), int(rng.uniform(0.7, 1) * height))
    cv2.rectangle(scene, a, b, (int(rng.integers(140, 250)),) * 3, cv2.FILLED)
    if rng.random() < 0.6:
        cv2.rectangle(scene, a, b, (int(rng.integers(0, 90)),) * 3, int(rng.integers(1, 4)))


def foreign_crop(
    rng: np.random.Generator, grounds: Sequence[Image] = (), *, known: str | None = None
) -> SyntheticCrop:
    """A plate that looks like another country's, of one line.

    Its text has the letters and digits that are known, and ``OTHER`` for each of the rest; dashes
    and gaps are left out. A reader that knows a foreign letter for what it is does not force such
    a plate into a Russian format.

    Args:
        grounds: Pictures without plates; drawn ones where there are none.
        known: The characters that are; without it those of Russian plates.
    """
    country = sorted(_FOREIGN)[int(rng.integers(len(_FOREIGN)))]
    pattern, letters = _FOREIGN[country]
    signs = "".join(
        letters[int(rng.integers(len(letters)))] if sign == "L" else
        str(rng.integers(10)) if sign == "0" else sign
        for sign in pattern
    )  # fmt: skip
    known = plates.alphabet() if known is None else known
    text = "".join(s if s in known else OTHER for s in signs if s not in " -")
    plate = plain_plate((signs,), PLATE_MM, rng)
    corners = random_cut(rng, PLATE_MM, 1)
    return photographed(mount(plate, rng), corners, text, 1, rng, grounds)
