"""A street seen by a gate camera, drawn: road, houses, and cars with plates in perspective."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from training.synthesis.paste import composite, shade
from training.synthesis.plate import render_plate

Image = npt.NDArray[np.uint8]
Corners = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]
Colour = tuple[int, int, int]

SIZE = (1280, 720)  # width, height
_FOCAL = 1150.0  # pixels
_HEIGHT = 2.1  # metres of the camera above the road
_TILT = np.deg2rad(9.0)  # downwards
_PLATE_M = (0.52, 0.112)
_LEAST_PLATE_PX = 18.0  # narrower ones are on the picture, but not in the truth
_CAR = (1.8, 4.2)  # width, length in metres
_COLOURS: list[Colour] = [(60, 40, 150), (140, 110, 60), (70, 70, 74), (205, 205, 200),
                          (60, 110, 70), (170, 130, 90), (50, 50, 55), (120, 150, 190)]  # fmt: skip


@dataclass(frozen=True)
class Car:
    """A car: its plate's text, its colour, its lane and when it is where.

    Attributes:
        x: Metres right of the camera, of its middle.
        start: Metres ahead of the camera at time 0.
        speed: Metres a second, towards the camera.
    """

    text: str
    colour: Colour
    x: float
    start: float
    speed: float

    def distance(self, time_s: float) -> float:
        """Metres from the camera to its front."""
        return self.start - self.speed * time_s


def project(points: Points) -> Points:
    """Points of the world on the picture.

    Args:
        points: Nx3 metres: right of, above the road, ahead of the camera.

    Returns:
        Nx2 pixels.
    """
    x, y, z = points[:, 0], points[:, 1] - _HEIGHT, points[:, 2]
    depth = z * np.cos(_TILT) - y * np.sin(_TILT)
    up = y * np.cos(_TILT) + z * np.sin(_TILT)
    depth = np.maximum(depth, 0.05)
    return np.stack([SIZE[0] / 2 + _FOCAL * x / depth, SIZE[1] / 2 - _FOCAL * up / depth], 1)


class Street:
    """The scene: what does not move is drawn once."""

    def __init__(self, cars: list[Car], seed: int) -> None:
        self.cars = cars
        self._rng = np.random.default_rng(seed)
        self._backdrop = _backdrop(self._rng)
        self._plates = {
            car.text: shade(render_plate(car.text, px_per_mm=0.7, rng=self._rng), self._rng, 225)
            for car in cars
        }

    def frame(self, time_s: float) -> tuple[Image, dict[str, Corners]]:
        """The picture at a time, and the corners of the plates that can be seen whole.

        Returns:
            720x1280x3 uint8 BGR, and 4x2 float32 pixels by text.
        """
        image = self._backdrop.copy()
        corners = {}
        for car in sorted(self.cars, key=lambda c: -c.distance(time_s)):
            z = car.distance(time_s)
            if 1.6 < z < 70:
                _draw_car(image, car, z)
                quad = _plate_corners(car, z)
                composite(image, self._plates[car.text], quad, blur=0.5)
                inside = (quad >= 0).all() and (quad < np.array(SIZE)).all()
                if inside and quad[1, 0] - quad[0, 0] >= _LEAST_PLATE_PX:
                    corners[car.text] = quad
        noise = self._rng.normal(0, 3.0, (SIZE[1] // 2, SIZE[0] // 2, 1)).astype(np.float32)
        grain = cv2.resize(noise, SIZE)[..., None]
        return np.clip(image + grain, 0, 255).astype(np.uint8), corners


def _plate_corners(car: Car, z: float) -> Corners:
    w, h = _PLATE_M
    y = 0.46
    left, right = car.x - w / 2, car.x + w / 2
    world = np.array([[left, y + h, z], [right, y + h, z], [right, y, z], [left, y, z]], np.float64)
    return project(world - [0, 0, 0.03]).astype(np.float32)


def _fill(image: Image, world: Points | list[list[float]], colour: tuple[float, ...]) -> None:
    points = np.rint(project(np.asarray(world, np.float64)) * 16).astype(np.int64)
    limit = 16 * 20_000
    points = np.clip(points, -limit, limit).astype(np.int32)
    cv2.fillPoly(image, [points], tuple(float(c) for c in colour), cv2.LINE_AA, shift=4)


def _draw_car(image: Image, car: Car, z: float) -> None:
    width, length = _CAR
    a, b = car.x - width / 2, car.x + width / 2
    base = np.array(car.colour, float)
    dark, light = tuple(base * 0.55), tuple(np.minimum(255, base * 1.15 + 12))
    near, far = z, z + length
    side = b if car.x < 0 else a  # the flank that the camera, in the middle, can see
    shadow = np.array([[a - 0.25, 0, near - 0.2], [b + 0.25, 0, near - 0.2],
                       [b + 0.25, 0, far], [a - 0.25, 0, far]])  # fmt: skip
    veil = image.copy()
    _fill(veil, shadow, (28, 28, 30))
    cv2.addWeighted(veil, 0.7, image, 0.3, 0, image)
    for wheel in (near + 0.75, far - 0.8):
        back, front = wheel - 0.33, wheel + 0.33
        tyre = [[side, 0, back], [side, 0.62, back], [side, 0.62, front], [side, 0, front]]
        _fill(image, tyre, (20, 20, 22))
    # cabin, then body: far things first
    roof_a, roof_b = a + 0.2, b - 0.2
    roof_side = roof_b if car.x < 0 else roof_a
    _fill(image, [[roof_side, 1.42, near + 1.7], [roof_side, 1.42, far - 0.7],
                  [side, 0.88, far - 0.2], [side, 0.88, near + 1.0]], (62, 52, 46))  # fmt: skip
    _fill(image, [[roof_a, 1.42, near + 1.7], [roof_b, 1.42, near + 1.7],
                  [roof_b, 1.44, far - 0.7], [roof_a, 1.44, far - 0.7]], light)  # fmt: skip
    _fill(image, [[side, 0.2, near], [side, 0.86, near], [side, 0.9, far], [side, 0.2, far]], dark)
    _fill(image, [[a, 0.84, near], [b, 0.84, near], [b, 0.9, near + 1.05], [a, 0.9, near + 1.05]],
          light)  # fmt: skip
    _fill(image, [[a + 0.08, 0.9, near + 1.0], [b - 0.08, 0.9, near + 1.0],
                  [roof_b, 1.4, near + 1.7], [roof_a, 1.4, near + 1.7]], (78, 64, 56))  # fmt: skip
    _fill(image, [[a + 0.5, 0.93, near + 1.04], [a + 0.75, 0.93, near + 1.04],
                  [a + 1.0, 1.36, near + 1.66], [a + 0.8, 1.36, near + 1.66]],
          (120, 108, 98))  # a reflection on the windscreen  # fmt: skip
    _draw_front(image, a, b, near, base)


def _draw_front(image: Image, a: float, b: float, z: float, base: Points) -> None:
    def panel(x1: float, y1: float, x2: float, y2: float, colour: tuple[float, ...]) -> None:
        _fill(image, [[x1, y1, z], [x2, y1, z], [x2, y2, z], [x1, y2, z]], colour)

    panel(a, 0.2, b, 0.84, tuple(base * 0.9))
    panel(a, 0.2, b, 0.36, (34, 34, 36))  # bumper's lower edge
    panel(a + 0.1, 0.4, b - 0.1, 0.43, tuple(base * 0.65))
    panel(a + 0.45, 0.63, b - 0.45, 0.78, (26, 26, 28))  # grille
    for y in (0.67, 0.705, 0.74):
        panel(a + 0.47, y, b - 0.47, y + 0.012, (120, 120, 122))
    for x1, x2 in ((a + 0.05, a + 0.4), (b - 0.4, b - 0.05)):
        panel(x1, 0.64, x2, 0.78, (190, 200, 205))
        panel(x1 + 0.08, 0.67, x2 - 0.08, 0.76, (245, 250, 250))
    middle = (a + b) / 2
    panel(middle - 0.3, 0.44, middle + 0.3, 0.59, (30, 30, 32))  # what the plate is fixed on


def _backdrop(rng: np.random.Generator) -> Image:
    width, height = SIZE
    rows = np.linspace(0, 1, height)[:, None, None]
    sky = np.array([225, 200, 170]) * (1 - rows) + np.array([235, 228, 222]) * rows
    image = np.broadcast_to(sky, (height, width, 3)).astype(np.uint8).copy()
    for side in (-1, 1):
        z = 60.0
        while z > 4:
            depth = float(rng.uniform(6, 11))
            tall = float(rng.uniform(7, 16))
            x = side * float(rng.uniform(9.5, 11))
            wall = rng.uniform(110, 195) * np.array([0.86, 0.94, 1.0]) + rng.normal(0, 9, 3)
            _fill(image, [[x, 0, z], [x, tall, z], [x, tall, z - depth], [x, 0, z - depth]],
                  tuple(wall * 0.85))  # fmt: skip
            _fill(image, [[x, 0, z - depth], [x, tall, z - depth], [x + side * 14, tall, z - depth],
                          [x + side * 14, 0, z - depth]], tuple(wall))  # fmt: skip
            for floor in np.arange(1.2, tall - 1.6, 3.0):
                for at in np.arange(z - 1.0, z - depth + 1.0, -2.2):
                    pane = tuple(np.array([92, 78, 66]) * rng.uniform(0.7, 1.25))
                    _fill(image, [[x, floor, at], [x, floor + 1.5, at], [x, floor + 1.5, at - 1.2],
                                  [x, floor, at - 1.2]], pane)  # fmt: skip
            z -= depth + float(rng.uniform(0.3, 2))
    _fill(image, [[-30, 0, 90], [30, 0, 90], [30, 0, 1], [-30, 0, 1]], (138, 142, 146))  # pavement
    _fill(image, [[-5.2, 0, 90], [5.2, 0, 90], [5.2, 0, 0.6], [-5.2, 0, 0.6]], (84, 82, 80))
    for x in (-5.0, 5.0):
        _fill(image, [[x - 0.07, 0, 90], [x + 0.07, 0, 90], [x + 0.07, 0, 1], [x - 0.07, 0, 1]],
              (205, 208, 208))  # fmt: skip
    for z in np.arange(2.0, 80.0, 4.0):
        _fill(image, [[-0.07, 0, z], [0.07, 0, z], [0.07, 0, z + 2], [-0.07, 0, z + 2]],
              (215, 218, 218))  # fmt: skip
    texture = cv2.resize(rng.normal(0, 7, (height // 2, width // 2)).astype(np.float32), SIZE)
    patches = cv2.resize(rng.normal(0, 4, (9, 16)).astype(np.float32), SIZE,
                         interpolation=cv2.INTER_CUBIC)  # fmt: skip
    mixed = image + (texture + patches)[..., None] * np.clip(rows * 2 - 0.4, 0.15, 1)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def random_cars(rng: np.random.Generator, texts: list[str], seconds: float) -> list[Car]:
    """Cars in two lanes, one behind the other, so that all have passed when the time is over."""
    cars = []
    colours = rng.permutation(len(_COLOURS))
    for index, text in enumerate(texts):
        lane = index % 2
        speed = float(rng.uniform(5.5, 7.0))
        passes_at = seconds * (0.42 + 0.58 * index / max(1, len(texts) - 1))
        x = (-1.75, 1.75)[lane] + float(rng.normal(0, 0.12))
        cars.append(Car(text, _COLOURS[int(colours[index % len(colours)])], x,
                        3.2 + speed * passes_at, speed))  # fmt: skip
    return cars
