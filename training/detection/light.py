"""Night and glare: what light does to a whole scene and to the plates in it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from training.detection.views import View

Image = npt.NDArray[np.uint8]


def night(view: View, rng: np.random.Generator) -> None:
    """Too little light, plates that shine in headlights or do not, lamps, noise; in place."""
    image = view.image
    height, width = image.shape[:2]
    gain = np.full((height // 4, width // 4), rng.uniform(0.08, 0.4), np.float32)
    for quad in view.corners:
        # retroreflective: as bright as by day in the light of one's own lamps
        shine = float(rng.choice([1.0, rng.uniform(1.0, 4.0), rng.uniform(3.0, 9.0)]))
        cv2.fillConvexPoly(gain, (quad / 4).round().astype(np.int32), float(gain.min() * shine))
    gain = cv2.resize(gain, (width, height), interpolation=cv2.INTER_LINEAR)
    tint = rng.normal(1, 0.12, 3).astype(np.float32)
    dark = image * (gain[..., None] * tint) + np.float32(rng.uniform(0, 18))
    for _ in range(int(rng.integers(0, 5))):
        _lamp(dark, _near_a_plate(view, rng), rng)
    grain = rng.standard_normal((height // 2, width // 2), dtype=np.float32)
    grain = cv2.resize(grain, (width, height)) * np.float32(rng.uniform(0.5, 7))
    image[:] = np.clip(dark + grain[..., None], 0, 255).astype(np.uint8)


def glare(view: View, rng: np.random.Generator) -> None:
    """The sun or its reflection: a bright, soft spot, often on a plate, or a veil; in place."""
    bright = view.image.astype(np.float32)
    for _ in range(int(rng.integers(1, 3))):
        _lamp(bright, _near_a_plate(view, rng), rng)
    if rng.random() < 0.3:
        veil = np.float32(rng.uniform(0.1, 0.5))
        bright = bright * (1 - veil) + veil * np.float32(rng.uniform(150, 255))
    view.image[:] = np.clip(bright, 0, 255).astype(np.uint8)


def _near_a_plate(view: View, rng: np.random.Generator) -> tuple[float, float, float]:
    """Where a lamp is, and how large: x, y and a radius in pixels."""
    height, width = view.image.shape[:2]
    if len(view.corners) and rng.random() < 0.7:
        quad = view.corners[int(rng.integers(len(view.corners)))]
        plate = float(np.ptp(quad[:, 0]))
        x, y = quad.mean(0) + rng.normal(0, 1, 2) * [1.3 * plate, 0.5 * plate]
        return float(x), float(y), plate * float(rng.uniform(0.03, 0.35))
    size = float(np.exp(rng.uniform(np.log(2), np.log(60))))
    return float(rng.uniform(0, width)), float(rng.uniform(0, height)), size


def _lamp(
    picture: npt.NDArray[np.float32],
    place: tuple[float, float, float],
    rng: np.random.Generator,
) -> None:
    x, y, radius = place
    reach = int(min(6 * radius, 400)) + 2
    height, width = picture.shape[:2]
    x1, x2 = max(0, int(x) - reach), min(width, int(x) + reach)
    y1, y2 = max(0, int(y) - reach), min(height, int(y) + reach)
    if x1 >= x2 or y1 >= y2:
        return
    dx = (np.arange(x1, x2, dtype=np.float32) - np.float32(x))[None] / np.float32(radius + 1)
    dy = (np.arange(y1, y2, dtype=np.float32) - np.float32(y))[:, None] / np.float32(radius + 1)
    distance = dx * dx + dy * dy * np.float32(rng.uniform(0.7, 3))
    spot = np.exp(-distance / 2) + np.float32(0.25) * np.exp(-distance / 9)
    colour = np.clip(rng.normal([220, 235, 245], 25), 0, 255).astype(np.float32)
    strength = np.float32(rng.uniform(0.4, 1.6))
    picture[y1:y2, x1:x2] += spot[..., None] * colour * strength
