"""Photographs as a bad day or a bad place would have made them, to judge readers by.

Every way does one thing to a whole picture, as strongly as its name says here, in shares of the
width of the plate that is to be read: what is far away suffers as much as what is near. None of
them is the code that training spoils its pictures with.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]
Way = Callable[[Image, Box, np.random.Generator], tuple[Image, npt.NDArray[np.float64]]]

_DISTANCE = 1.5  # of the camera that turns go round, in lengths of the picture's longer side
_FOG = 200.0  # grey of what is far in it
_MUD = (60.0, 75.0, 90.0)  # BGR


def _stays(change: Callable[[Image, Box, np.random.Generator], npt.NDArray[np.floating]]) -> Way:
    """A way that moves nothing."""

    def way(image: Image, box: Box, rng: np.random.Generator) -> tuple[Image, np.ndarray]:
        changed = change(image, box, rng)
        return np.clip(changed, 0, 255).astype(np.uint8), np.eye(3)

    return way


def _turned(*, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Way:
    """Seen from elsewhere: degrees about the upright axis, the level one, and the line of sight.

    The picture turns as a board would, about the plate's middle, which comes to the picture's.
    """

    def way(image: Image, box: Box, _rng: np.random.Generator) -> tuple[Image, np.ndarray]:
        y, p, r = np.radians([yaw, pitch, roll])
        about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
        about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
        about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
        turn = about_z @ about_x @ about_y
        height, width = image.shape[:2]
        away = _DISTANCE * max(height, width)
        seen = np.diag([away, away, 1.0]) @ np.column_stack([turn[:, 0], turn[:, 1], [0, 0, away]])
        home = np.array([[1, 0, -(box[0] + box[2]) / 2], [0, 1, -(box[1] + box[3]) / 2], [0, 0, 1]])
        back = np.array([[1, 0, width / 2], [0, 1, height / 2], [0, 0, 1]])
        matrix = back @ seen @ home
        turned = cv2.warpPerspective(image, matrix, (width, height), flags=cv2.INTER_CUBIC,
                                     borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
        return turned.astype(np.uint8), matrix

    return way


def _moved(share: float, *, along: bool) -> Way:
    """Smeared along the plate, or across it, by a share of its width."""

    def change(image: Image, box: Box, _rng: np.random.Generator) -> Image:
        length = max(2, round(share * _width(box)))
        return np.asarray(cv2.blur(image, (length, 1) if along else (1, length)), np.uint8)

    return _stays(change)


def _unsharp(share: float) -> Way:
    """Out of focus; the standard deviation as a share of the plate's width."""

    def change(image: Image, box: Box, _rng: np.random.Generator) -> Image:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), share * _width(box)), np.uint8)

    return _stays(change)


def _dark(gain: float, noise: float) -> Way:
    """So little light, and a sensor's noise of so many grey levels in every colour."""

    def change(image: Image, _box: Box, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        grain = rng.standard_normal(image.shape, dtype=np.float32)
        return np.asarray(image * np.float32(gain) + np.float32(noise) * grain, np.float32)

    return _stays(change)


def _fog(share: float) -> Way:
    """So much of the light is the fog's."""

    def change(image: Image, _box: Box, _rng: np.random.Generator) -> npt.NDArray[np.float64]:
        return np.asarray(image * (1 - share) + share * _FOG)

    return _stays(change)


def _rain(drops: float) -> Way:
    """Streaks, so many in a square as wide as the plate, and a lens that is a little wet."""

    def change(image: Image, box: Box, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        height, width = image.shape[:2]
        unit = _width(box)
        streaks = np.zeros((height, width), np.float32)
        for _ in range(int(drops * width * height / unit**2)):
            x, y = rng.uniform(0, width), rng.uniform(0, height)
            long, lean = unit * rng.uniform(0.1, 0.5), rng.normal(0.15, 0.05)
            cv2.line(streaks, (round(x), round(y)), (round(x + lean * long), round(y + long)),
                     float(rng.uniform(60, 150)), max(1, int(unit / 90)), cv2.LINE_AA)  # fmt: skip
        streaks = np.asarray(cv2.GaussianBlur(streaks, (0, 0), max(0.6, unit / 200)), np.float32)
        wet = cv2.GaussianBlur(image, (0, 0), max(0.5, unit / 150))
        return np.asarray(wet * np.float32(0.85) + streaks[..., None], np.float32)

    return _stays(change)


def _muddy(share: float) -> Way:
    """So much of the plate under mud that a little can be seen through."""

    def change(image: Image, box: Box, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        x1, y1, x2, y2 = (max(0, round(v)) for v in box)
        plate = image[y1:y2, x1:x2].astype(np.float32)
        size = plate.shape[1], plate.shape[0]
        lumps = cv2.resize(rng.standard_normal((6, 18)), size, interpolation=cv2.INTER_CUBIC)
        lumps += 0.5 * cv2.resize(rng.standard_normal((20, 60)), size,
                                  interpolation=cv2.INTER_CUBIC)  # fmt: skip
        cover = np.clip(2 * (lumps - np.quantile(lumps, 1 - share)), 0, 0.75)[..., None]
        muddy = image.astype(np.float32)
        muddy[y1:y2, x1:x2] = plate * (1 - cover) + np.float32(_MUD) * cover
        return muddy

    return _stays(change)


def _compressed(quality: int) -> Way:
    """As a JPEG of such a quality."""

    def change(image: Image, _box: Box, _rng: np.random.Generator) -> Image:
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)

    return _stays(change)


def _width(box: Box) -> float:
    return max(8.0, box[2] - box[0])


WAYS: dict[str, Way] = {
    "turned by 30 degrees": _turned(yaw=30),
    "turned by 45 degrees": _turned(yaw=45),
    "turned by 45, from 30 above": _turned(yaw=45, pitch=30),
    "leaning by 20 degrees": _turned(roll=20),
    "smeared along by 3%": _moved(0.03, along=True),
    "smeared along by 5%": _moved(0.05, along=True),
    "smeared across by 5%": _moved(0.05, along=False),
    "out of focus by 1%": _unsharp(0.01),
    "out of focus by 2%": _unsharp(0.02),
    "dusk": _dark(0.2, 4.0),
    "night": _dark(0.1, 5.0),
    "fog": _fog(0.7),
    "rain": _rain(2.0),
    "heavy rain": _rain(6.0),
    "mud on 30%": _muddy(0.3),
    "JPEG at 10": _compressed(10),
}
