"""What the street does to a picture of a plate: Albumentations, and what it has no word for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import albumentations as A
import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]


def street(seed: int | None = None) -> Callable[[Image], Image]:
    """Perspective, rotation, blur, low resolution, compression, glare, night, dirt and shadow.

    Returns:
        A function from HxW uint8 grey to the same shape; made for crops 48 to 120 px high.
    """
    transform = A.Compose(
        [
            A.OneOf(
                [
                    A.Perspective(scale=(0.02, 0.06), border_mode=cv2.BORDER_REPLICATE),
                    A.Affine(rotate=(-5, 5), shear={"x": (-10, 10), "y": (-3, 3)},
                             border_mode=cv2.BORDER_REPLICATE),
                ],
                p=0.35,
            ),
            A.Lambda(image=_dirt, p=0.14),
            A.Lambda(image=_rain, p=0.06),
            A.OneOf([A.Lambda(image=_shadow), A.Lambda(image=_glare)], p=0.3),
            A.OneOf(
                [
                    A.RandomGamma(gamma_limit=(40, 220)),
                    A.RandomBrightnessContrast(brightness_limit=0.35, contrast_limit=0.5),
                    A.Lambda(image=_night),
                    A.CLAHE(clip_limit=3.0),
                ],
                p=0.6,
            ),
            A.InvertImg(p=0.02),  # white on black: military plates, and what infrared may do
            A.OneOf(
                [
                    A.Lambda(image=_motion),
                    A.Lambda(image=_unsharp),
                    A.Defocus(radius=(1, 3), alias_blur=(0.1, 0.3)),
                ],
                p=0.5,
            ),
            A.Downscale(
                scale_range=(0.16, 0.75),
                interpolation_pair={"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_CUBIC},
                p=0.5,
            ),
            A.OneOf(  # what cameras and encoders do to make up for it: halos round the strokes
                [A.Sharpen(alpha=(0.3, 0.8)), A.UnsharpMask(blur_limit=(3, 7), alpha=(0.4, 1.0))],
                p=0.25,
            ),
            A.GaussNoise(std_range=(0.01, 0.1), p=0.3),
            A.ImageCompression(quality_range=(8, 85), p=0.5),
        ],
        seed=seed,
    )  # fmt: skip

    def apply(image: Image) -> Image:
        transformed: Image = transform(image=image)["image"]
        return transformed

    return apply


def _dirt(image: Image, **_: Any) -> Image:
    """Mud and snow: soft, irregular patches of one colour, thicker towards the bottom."""
    height, width = image.shape[:2]
    coarse = np.random.rand(max(2, height // 12), max(2, width // 12)).astype(np.float32)
    mask = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    mask += np.linspace(-0.2, 0.15, height, dtype=np.float32)[:, None]
    mask = np.clip((mask - np.random.uniform(0.55, 0.8)) * 4, 0, np.random.uniform(0.3, 0.85))
    colour = np.random.choice([60, 110, 225]) + np.random.uniform(-15, 15)
    mixed = image * (1 - mask) + colour * mask
    return np.clip(mixed, 0, 255).astype(np.uint8)


def _rain(image: Image, **_: Any) -> Image:
    """Bright, thin streaks of falling drops, nearly upright, before a veil that takes contrast."""
    height, width = image.shape[:2]
    streaks = np.zeros((height, width), np.float32)
    lean = np.random.normal(0, 0.25)
    for _streak in range(np.random.poisson(np.random.uniform(2, 14))):
        x, y = np.random.uniform(0, width), np.random.uniform(-0.5, 1) * height
        long = np.random.uniform(0.2, 1.6) * height
        end = (round(x + lean * long), round(y + long))
        light = float(np.random.uniform(40, 170))
        cv2.line(streaks, (round(x), round(y)), end, light, 1 + height // 60, cv2.LINE_AA)
    streaks = cv2.GaussianBlur(streaks, (0, 0), np.random.uniform(0.005, 0.03) * height)
    wet = image * np.random.uniform(0.7, 1.0) + streaks
    return np.clip(wet, 0, 255).astype(np.uint8)


def _motion(image: Image, **_: Any) -> Image:
    """What moves while the shutter is open smears, mostly along the road.

    In shares of the plate's height, for the same speed smears more pixels of a larger picture; a
    little is more frequent than much.
    """
    height = image.shape[0]
    along = np.random.random() < 0.75
    most = 0.28 if along else 0.2
    length = (0.03 + most * np.random.random() ** 1.5) * height
    angle = np.random.normal(0, 0.2) if along else np.random.uniform(0, np.pi)
    size = max(3, int(length) | 1)
    ys, xs = np.mgrid[:size, :size].astype(np.float32) - size // 2
    # how much of the line that a point is drawn to falls on each pixel
    across = np.abs(xs * np.sin(angle) - ys * np.cos(angle))
    beyond = np.abs(xs * np.cos(angle) + ys * np.sin(angle)) - length / 2
    kernel = np.clip(1 - across, 0, 1) * np.clip(0.5 - beyond, 0, 1)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum(),
                                   borderType=cv2.BORDER_REPLICATE))  # fmt: skip


def _unsharp(image: Image, **_: Any) -> Image:
    """Out of focus, or too few pixels scaled up: in shares of the height, as ``_motion``."""
    sigma = (0.008 + 0.08 * np.random.random() ** 1.5) * image.shape[0]
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma))


def _shadow(image: Image, **_: Any) -> Image:
    """The edge of a shadow across the plate."""
    height, width = image.shape[:2]
    angle = np.random.uniform(0, 2 * np.pi)
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    distance = (xs / width - np.random.uniform(0.2, 0.8)) * np.cos(angle) + (
        ys / height - np.random.uniform(0.2, 0.8)
    ) * np.sin(angle)
    lit = 1 / (1 + np.exp(-distance * np.random.uniform(15, 80)))
    factor = np.random.uniform(0.25, 0.7)
    return (image * (factor + (1 - factor) * lit)).astype(np.uint8)


def _glare(image: Image, **_: Any) -> Image:
    """A bright, soft spot: the sun or a lamp on the plate."""
    height, width = image.shape[:2]
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    cx, cy = np.random.uniform(0, width), np.random.uniform(0, height)
    radius = np.random.uniform(0.25, 1.0) * height
    spot = np.exp(-(((xs - cx) / (2 * radius)) ** 2 + ((ys - cy) / radius) ** 2))
    bright = image + np.random.uniform(60, 200) * spot
    return np.clip(bright, 0, 255).astype(np.uint8)


def _night(image: Image, **_: Any) -> Image:
    """Too little light: dark, flat, with the noise of a sensor turned up."""
    gain, lift = np.random.uniform(0.08, 0.45), np.random.uniform(0, 35)
    dark = image * gain + lift + np.random.normal(0, np.random.uniform(0.5, 6), image.shape)
    return np.clip(dark, 0, 255).astype(np.uint8)
