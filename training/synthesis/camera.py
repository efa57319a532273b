"""What light and camera do to a picture: shadow, glare, night, lamps, blur, grain, compression.

And its shutter: most sensors are read row by row, while what is photographed goes on.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from training.synthesis.texture import noise

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def photograph(image: Image, rng: np.random.Generator, detail: float = 1.0) -> Image:
    """Takes a picture of a scene, in an everyday light or a bad one.

    Args:
        image: HxWx3 uint8 BGR.
        detail: How much of the picture's width what is to be read takes: small things bear less
            blur and keep more of their pixels.

    Returns:
        The same shape.
    """
    chance = rng.random(9)
    if chance[0] < 0.2:
        image = _half_shadow(image, rng)
    if chance[1] < 0.12:
        image = _glare(image, rng)
    if chance[2] < 0.5:
        image = _tone(image, rng)
    if chance[3] < 0.3:
        image = _blur(image, rng, detail)
    if chance[4] < 0.25:
        image = _coarse(image, rng, detail)
    if chance[5] < 0.03:
        image = _screen(image, rng)
    if chance[6] < 0.35:
        grain = noise(rng, image.shape[:2], 1.0 if chance[8] < 0.5 else 1.8)
        # a dark picture's grain is weaker in numbers; as strong as a light one's it would hide all
        depth = min(1.0, 0.15 + float(image.std()) / 50)
        image = _clip(image + (grain * (depth * float(rng.uniform(1.5, 12))))[:, :, None])
    if chance[7] < 0.25:
        image = _compress(image, rng)
    if chance[8] < 0.4:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[:, :, None], 3, 2)
    return image


def rolling_shutter(image: Image, lean: float, smear: int) -> Image:
    """What moves sideways while a sensor is read from the top to the bottom: it leans and smears.

    Every row is taken a little later than the one above it, and moved on by as much; the middle one
    stays where it is. While a row is exposed, it smears along the same way.

    Args:
        image: HxWx3 uint8 BGR.
        lean: Pixels to the right, from the first row to one past the last; negative: to the left.
        smear: Pixels of blur along the rows, 1 for none.

    Returns:
        The same shape; where nothing comes in, the edge goes on.
    """
    height, width = image.shape[:2]
    move = leaning(lean, height)
    moved = cv2.warpAffine(image, move, (width, height), flags=cv2.INTER_LINEAR,
                           borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    return np.asarray(cv2.blur(moved, (smear, 1)), np.uint8)


def leaning(lean: float, height: int) -> npt.NDArray[np.float64]:
    """The 2x3 matrix of ``rolling_shutter``: from pixels before it to those after it."""
    return np.array([[1, lean / height, -lean / 2], [0, 1, 0]])


def _clip(values: npt.NDArray[np.floating]) -> Image:
    return np.clip(values, 0, 255).astype(np.uint8)


def _ramp(image: Image, rng: np.random.Generator) -> Floats:
    """Distance of each pixel from a random line across the picture, in heights."""
    height, width = image.shape[:2]
    angle = float(rng.uniform(0, 2 * np.pi))
    x = (np.arange(width, dtype=np.float32) - float(rng.uniform(0.15, 0.85)) * width) / height
    y = (np.arange(height, dtype=np.float32) - float(rng.uniform(0.15, 0.85)) * height) / height
    distance: Floats = x[None, :] * np.float32(np.cos(angle)) + y[:, None] * np.float32(
        np.sin(angle)
    )
    return distance


def _half_shadow(image: Image, rng: np.random.Generator) -> Image:
    dark = float(rng.uniform(0.25, 0.75))
    share = np.clip(_ramp(image, rng) * float(rng.uniform(2, 30)) + 0.5, 0, 1)
    return _clip(image * (dark + (1 - dark) * share)[:, :, None])


def _glare(image: Image, rng: np.random.Generator) -> Image:
    """The sun or a lamp on the plate: a bright, soft spot or band."""
    height, width = image.shape[:2]
    cx, cy = float(rng.uniform(0, width)), float(rng.uniform(0, height))
    rx = float(rng.uniform(0.3, 2.5)) * height
    ry = float(rng.uniform(0.3, 1.2)) * height
    x = np.exp(-(((np.arange(width, dtype=np.float32) - cx) / rx) ** 2))
    y = np.exp(-(((np.arange(height, dtype=np.float32) - cy) / ry) ** 2))
    return _clip(image + (y[:, None] * x[None, :] * float(rng.uniform(40, 160)))[:, :, None])


def _tone(image: Image, rng: np.random.Generator) -> Image:
    """Gamma, contrast, brightness and the colour of the light, as one table for each channel."""
    levels = np.linspace(0, 1, 256, dtype=np.float32)
    kind = float(rng.random())
    if kind < 0.25:  # too little light
        gain, lift = float(rng.uniform(0.16, 0.5)), float(rng.uniform(0, 0.15))
        curve = levels * gain + lift
    elif kind < 0.4:  # flat: fog, dirty lens
        contrast = float(rng.uniform(0.25, 0.65))
        curve = levels * contrast + float(rng.uniform(0.1, 0.9 - contrast))
    elif kind < 0.55:  # overexposed
        curve = levels * float(rng.uniform(1.2, 2.2))
    else:
        curve = levels ** float(np.exp(rng.normal(0, 0.4)))
    tint = np.exp(rng.normal(0, 0.14, 3)) if rng.random() < 0.5 else np.ones(3)
    table = np.clip(curve[:, None] * tint * 255, 0, 255).astype(np.uint8)[None]
    return np.asarray(cv2.LUT(image, table), np.uint8)


def _blur(image: Image, rng: np.random.Generator, detail: float) -> Image:
    """Of motion, along the road or up and down, or out of focus."""
    unit = detail  # characters are 30 to 40 pixels high in crops of one line and of two
    kind = rng.random()
    if kind < 0.3:
        return np.asarray(cv2.blur(image, (1 + int(rng.integers(1, 7) * unit), 1)))
    if kind < 0.45:
        return np.asarray(cv2.blur(image, (1, 1 + int(rng.integers(1, 5) * unit))))
    return np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 2.0)) * unit))


def _coarse(image: Image, rng: np.random.Generator, detail: float) -> Image:
    """As few pixels as a far plate has, scaled up again."""
    height, width = image.shape[:2]
    share = min(1.0, float(rng.uniform(0.24, 0.7)) / detail)
    small = cv2.resize(image, (max(8, round(width * share)), max(6, round(height * share))),
                       interpolation=cv2.INTER_AREA)  # fmt: skip
    if rng.random() < 0.5:
        small = _compress(small, rng)
    mode = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC)[int(rng.integers(3))]
    return np.asarray(cv2.resize(small, (width, height), interpolation=mode))


def _screen(image: Image, rng: np.random.Generator) -> Image:
    """Photographed from a screen: its grid of pixels shows."""
    step = int(rng.integers(2, 5))
    dim = float(rng.uniform(0.6, 0.9))
    image = image.copy()
    image[:, ::step] = (image[:, ::step] * dim).astype(np.uint8)
    if rng.random() < 0.5:
        image[::step] = (image[::step] * dim).astype(np.uint8)
    return image


def _compress(image: Image, rng: np.random.Generator) -> Image:
    quality = int(rng.integers(12, 80))
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
