"""What happens to a plate before it is photographed: pressed letters, bolts, a frame, mud."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from training.synthesis.lettering import ink, line_of_text, telephone, word
from training.synthesis.texture import noise

Image = npt.NDArray[np.uint8]
Corners = npt.NDArray[np.float32]

# BGR: black and greys, chrome, dealers' blue and red
_FRAMES = ((20, 20, 20), (45, 42, 40), (90, 88, 86), (190, 190, 190), (215, 215, 215),
           (150, 60, 20), (30, 30, 140))  # fmt: skip
_INKS = ((235, 235, 235), (200, 200, 200), (60, 190, 240), (90, 200, 90), (40, 40, 220),
         (25, 25, 25), (200, 120, 60))  # fmt: skip
_BOLTS = (25, 50, 90, 140, 200, 235)
_MUD = ((40, 62, 82), (70, 85, 100), (110, 115, 120), (225, 225, 225))  # earth, dust, salt, snow


@dataclass(frozen=True, slots=True)
class Mounted:
    """A plate in its frame, flat.

    Attributes:
        image: HxWx3 uint8 BGR.
        corners: 4x2 float32 pixels, the plate's own without the frame: top-left, top-right,
            bottom-right, bottom-left.
    """

    image: Image
    corners: Corners


def mount(plate: Image, rng: np.random.Generator, width_mm: float = 520.0) -> Mounted:
    """Presses, screws, soils and frames a plate, each now and then.

    Args:
        plate: HxWx3 uint8 BGR, as ``render_plate`` draws it.
        width_mm: The plate's width, so that bolts and frames get their size.
    """
    mm = plate.shape[1] / width_mm
    chance = rng.random(4)
    plate = plate.copy()
    if chance[0] < 0.45:
        _press(plate, mm, rng)
    if chance[1] < 0.75:
        _bolts(plate, mm, rng)
    if chance[2] < 0.25:
        _soil(plate, rng)
    if chance[3] < 0.5:
        return _framed(plate, mm, rng)
    height, width = plate.shape[:2]
    return Mounted(plate, _rectangle(0, 0, width, height))


def _rectangle(x: float, y: float, width: float, height: float) -> Corners:
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], np.float32)


def _press(plate: Image, mm: float, rng: np.random.Generator) -> None:
    """The light and the dark edge of raised characters, in place."""
    shift = max(1, round(float(rng.uniform(0.8, 2.0)) * mm))
    down, right = (shift, shift if rng.random() < 0.5 else 0)
    grey = np.ascontiguousarray(plate[:, :, 1])
    moved = cv2.copyMakeBorder(grey[:-down, : grey.shape[1] - right], down, 0, right, 0,
                               cv2.BORDER_REPLICATE)  # fmt: skip
    if rng.random() < 0.4:  # the light comes from below
        grey, moved = moved, grey
    strength = float(rng.uniform(0.08, 0.4))
    lit, dark = (
        cv2.merge([cv2.convertScaleAbs(cv2.subtract(a, b), alpha=strength)] * 3)
        for a, b in ((grey, moved), (moved, grey))
    )
    plate[:] = cv2.subtract(cv2.add(plate, lit), dark)


def _bolts(plate: Image, mm: float, rng: np.random.Generator) -> None:
    """Screw heads at the holes, or elsewhere, where they may look like dots or parts of signs."""
    height, width = plate.shape[:2]
    places: list[tuple[float, float]] = []
    kind = rng.random()
    if kind < 0.7:
        for x in (rng.uniform(13, 26) * mm, width - rng.uniform(10, 22) * mm):
            places.append((float(x), height / 2 + float(rng.normal(0, 4)) * mm))
    if kind > 0.6:
        count = int(rng.integers(1, 4))
        rows = np.where(rng.random(count) < 0.5, 0.1, 0.9) * height
        places += [(float(x), float(y)) for x, y in zip(rng.uniform(0.04, 0.96, count) * width,
                                                        rows, strict=True)]  # fmt: skip
    shade = _BOLTS[int(rng.integers(len(_BOLTS)))]
    radius = float(rng.uniform(2.5, 7)) * mm
    tint = rng.integers(-25, 20, 3).tolist() if rng.random() < 0.3 else (0, 0, 0)
    colour = tuple(shade + t for t in tint)
    for x, y in places:
        centre = (round(x * 16), round(y * 16))
        cv2.circle(plate, centre, max(8, round(radius * 16)), colour, cv2.FILLED, cv2.LINE_AA, 4)
        if radius > 2:
            glint = (round((x - radius * 0.3) * 16), round((y - radius * 0.3) * 16))
            light = tuple(min(255, c + 70) for c in colour)
            cv2.circle(plate, glint, round(radius * 6), light, cv2.FILLED, cv2.LINE_AA, 4)


def _soil(plate: Image, rng: np.random.Generator) -> None:
    """Mud, dust or snow, thicker towards the bottom, in place."""
    height, width = plate.shape[:2]
    thickness = noise(rng, (height, width), float(rng.uniform(0.08, 0.4)) * height)
    slope = np.linspace(-1.2, 1.0, height, dtype=np.float32)[:, None] * float(rng.uniform(0, 1))
    cover = (thickness + slope - float(rng.uniform(0.2, 1.6))) * float(rng.uniform(0.4, 2.5))
    if rng.random() < 0.3:  # splashes: small and sharp
        cover = np.maximum(cover, (noise(rng, (height, width), 2.5) - 1.9) * 2)
    cover = np.clip(cover, 0, float(rng.uniform(0.35, 0.78)))
    mud = np.full_like(plate, _MUD[int(rng.integers(len(_MUD)))])
    plate[:] = cv2.blendLinear(mud, plate, cover, 1 - cover)


def _framed(plate: Image, mm: float, rng: np.random.Generator) -> Mounted:
    """In a dealer's frame: a border, with a strip of lettering below and maybe above.

    Its lip lies over the plate's edge, often far enough to hide the line round it.
    """
    height, width = plate.shape[:2]
    border = max(1, round(float(rng.uniform(3, 12)) * mm))
    below = max(border, round(float(rng.uniform(8, 30)) * mm))
    above = max(border, round(float(rng.uniform(8, 24)) * mm)) if rng.random() < 0.15 else border
    colour = np.array(_FRAMES[int(rng.integers(len(_FRAMES)))])
    colour = np.clip(colour + rng.integers(-12, 13, 3), 0, 255)
    lip = round(float(rng.uniform(0, 8)) * mm)
    seen = plate[lip : height - lip, lip : width - lip]
    image = np.asarray(
        cv2.copyMakeBorder(seen, above + lip, below + lip, border + lip, border + lip,
                           cv2.BORDER_CONSTANT, value=[int(c) for c in colour])
    )  # fmt: skip
    dark = colour.mean() < 110
    choice = _INKS[int(rng.integers(len(_INKS)))]
    lettering = np.array(choice if dark == (sum(choice) > 300) else
                         ((225, 225, 225) if dark else (30, 30, 30)))  # fmt: skip
    for top, room in ((above + height, below), (0, above)):
        if room >= 5 and rng.random() < 0.8:
            _letter_strip(image, top, room, lettering, rng)
    return Mounted(image, _rectangle(border, above, width, height))


def _letter_strip(
    image: Image, top: int, room: int, colour: npt.NDArray[np.int_], rng: np.random.Generator
) -> None:
    """Words and numbers along a strip of the frame."""
    size = max(3, round(room * float(rng.uniform(0.4, 0.75))))
    x = round(image.shape[1] * float(rng.uniform(0.01, 0.3)))
    while x < image.shape[1] * 0.85:
        text = telephone(rng) if rng.random() < 0.3 else word(rng, 12)
        mask = line_of_text(rng, text, size)
        ink(image, mask, x, top + (room - mask.shape[0]) // 2, colour)
        x += mask.shape[1] + round(size * float(rng.uniform(1, 8)))
