"""Synthetic plate crops: a flat plate photographed on something, and things that are no plate."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from training.synthesis.plate import PLATE_MM, random_text, render_plate

Image = npt.NDArray[np.uint8]

CROP_SIZE = (256, 64)  # width, height
_KINDS = ("ru-1", "ru-1b", "ru-2", "ru-military", "ru-police")
_SHARES = (0.84, 0.05, 0.05, 0.03, 0.03)
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX,
          cv2.FONT_HERSHEY_PLAIN)  # fmt: skip


def plate_crop(rng: np.random.Generator, grounds: Sequence[Image] = ()) -> tuple[Image, str]:
    """A plate of a random text as a camera would see it, loosely cropped.

    Args:
        grounds: Pictures to put it on; drawn ones where there are none.

    Returns:
        64x256x3 uint8 BGR, and the text.
    """
    text = random_text(rng, str(rng.choice(_KINDS, p=_SHARES)))
    plate = emboss(render_plate(text, px_per_mm=0.5, rng=rng), rng)
    crop = ground(rng, grounds)
    width, height = CROP_SIZE
    # how much of the crop the plate fills: from all of it to about six tenths
    fill_x, fill_y = rng.uniform(0.62, 1.03), rng.uniform(0.45, 1.02)
    w, h = width * fill_x, height * fill_y
    x = rng.uniform(0, 1) * (width - w)
    y = rng.uniform(0, 1) * (height - h)
    target = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], np.float32)
    tilt = rng.normal(0, 0.07) * (1 - 0.7 * max(0.0, fill_y - 0.6))
    target[[1, 2], 1] += tilt * height
    target[[0, 3], 1] -= tilt * height
    target += rng.normal(0, 0.02, (4, 2)).astype(np.float32) * np.array([height, height])
    target = target.astype(np.float32)
    source = np.array(
        [[0, 0], [plate.shape[1], 0], [plate.shape[1], plate.shape[0]], [0, plate.shape[0]]],
        np.float32,
    )
    matrix = cv2.getPerspectiveTransform(source, target)
    warped = cv2.warpPerspective(plate, matrix, CROP_SIZE, flags=cv2.INTER_AREA)
    mask = cv2.warpPerspective(
        np.full(plate.shape[:2], 255, np.uint8), matrix, CROP_SIZE, flags=cv2.INTER_LINEAR
    )
    light = rng.uniform(0.45, 1.05)
    alpha = (mask / 255.0)[..., None]
    shade = cv2.GaussianBlur(mask, (0, 0), 3)[..., None] / 255.0  # what lies round it is darker
    mixed = crop * (1 - 0.35 * shade) * (1 - alpha) + warped * light * alpha
    return np.clip(mixed, 0, 255).astype(np.uint8), text


def emboss(plate: Image, rng: np.random.Generator) -> Image:
    """Bolts, a dealer's frame below and the light edge of pressed letters, each now and then."""
    plate = plate.copy()
    height, width = plate.shape[:2]
    mm = width / PLATE_MM[0]
    if rng.random() < 0.4:
        shift = max(1, round(1.2 * mm))
        edges = plate.astype(np.int16) - np.roll(plate, (shift, shift), (0, 1)).astype(np.int16)
        plate = np.clip(plate + edges * rng.uniform(0.1, 0.35), 0, 255).astype(np.uint8)
    if rng.random() < 0.6:
        colour = int(rng.choice([40, 90, 150, 200]))
        for x in (rng.uniform(12, 26), PLATE_MM[0] - rng.uniform(12, 26)):
            centre = (round(x * mm), round((PLATE_MM[1] / 2 + rng.normal(0, 3)) * mm))
            cv2.circle(plate, centre, max(1, round(rng.uniform(3, 6) * mm)), (colour,) * 3, -1)
    if rng.random() < 0.35:
        border = round(rng.uniform(4, 16) * mm)
        frame = np.full(
            (height + 3 * border, width + 2 * border, 3), rng.integers(10, 70), np.uint8
        )
        frame[border : border + height, border : border + width] = plate
        size = border / 14
        word = _word(rng, 18)
        cv2.putText(frame, word, (round(rng.uniform(0.05, 0.4) * width), height + 2 * border +
                    border // 2), cv2.FONT_HERSHEY_SIMPLEX, max(0.2, size * 0.6),
                    (int(rng.integers(120, 255)),) * 3, 1, cv2.LINE_AA)  # fmt: skip
        plate = frame
    return plate


def empty_crop(rng: np.random.Generator, grounds: Sequence[Image] = ()) -> Image:
    """A crop without a plate: a ground, often with lettering, stripes or a lamp on it.

    Returns:
        64x256x3 uint8 BGR.
    """
    crop = ground(rng, grounds).copy()
    width, height = CROP_SIZE
    kind = rng.random()
    if kind < 0.35:
        shade = (int(rng.integers(0, 255)),) * 3
        if rng.random() < 0.5:
            crop[:] = np.clip(crop * 0.2 + rng.integers(0, 230), 0, 255).astype(np.uint8)
        cv2.putText(crop, _word(rng, 12), (int(rng.uniform(-20, 60)), int(rng.uniform(30, 60))),
                    int(rng.choice(_FONTS)), rng.uniform(0.6, 2.0), shade,
                    int(rng.integers(1, 5)), cv2.LINE_AA)  # fmt: skip
    elif kind < 0.5:
        for x in range(0, width, int(rng.integers(8, 40))):
            cv2.line(crop, (x, 0), (x + int(rng.integers(-20, 20)), height),
                     (int(rng.integers(0, 255)),) * 3, int(rng.integers(1, 6)))  # fmt: skip
    elif kind < 0.6:
        # a plate without characters: only its ground and frame
        cv2.rectangle(crop, (int(rng.uniform(0, 40)), int(rng.uniform(0, 15))),
                      (int(rng.uniform(200, 256)), int(rng.uniform(45, 64))),
                      (int(rng.integers(150, 250)),) * 3, -1)  # fmt: skip
    return crop


def ground(rng: np.random.Generator, grounds: Sequence[Image]) -> Image:
    """Something to lie round a plate: a patch of a given picture, or drawn bodywork.

    Returns:
        64x256x3 uint8 BGR.
    """
    width, height = CROP_SIZE
    if len(grounds) and rng.random() < 0.7:
        picture = grounds[int(rng.integers(len(grounds)))]
        h = int(rng.integers(24, max(25, min(picture.shape[0], picture.shape[1] // 3))))
        w = min(picture.shape[1], int(h * rng.uniform(2.2, 4.5)))
        y = int(rng.integers(0, picture.shape[0] - h + 1))
        x = int(rng.integers(0, picture.shape[1] - w + 1))
        return cv2.resize(picture[y : y + h, x : x + w], CROP_SIZE).astype(np.uint8)
    base = rng.uniform(10, 230, 3) if rng.random() < 0.4 else np.full(3, rng.uniform(10, 230))
    slope = np.linspace(-1, 1, height)[:, None, None] * rng.uniform(-60, 60)
    noise = cv2.resize(rng.normal(0, rng.uniform(2, 25), (height // 8, width // 8, 3)), CROP_SIZE)
    return np.clip(base + slope + noise, 0, 255).astype(np.uint8)


def _word(rng: np.random.Generator, longest: int) -> str:
    signs = list("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .-")
    return "".join(rng.choice(signs, int(rng.integers(3, longest))))
