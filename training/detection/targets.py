"""What the detector's network is to answer for a view."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from platestream.vision.heatmap import OFFSET_SCALE, STRIDE
from training.detection.views import View

LEAST_SEEN = 10.0  # pixels; a narrower plate is neither wanted nor punished


def to_sample(view: View) -> dict[str, Tensor]:
    """A view and its plates as tensors; h and w are its height and width over ``STRIDE``.

    Returns:
        ``image`` 3xHxW uint8; ``heat`` hxw, 1 at plates' centres; ``ignore`` 1 where nothing is
        asked; ``offsets`` 8xhxw to the corners; ``scale`` hxw, which makes of an offset's error
        a share of the plate's width, 0 where offsets do not count; ``share`` hxw, which adds up
        to 1 for each plate; ``known`` hxw, how far the corners are trusted.
    """
    rows, columns = (side // STRIDE for side in view.image.shape[:2])
    heat = np.zeros((rows, columns), np.float32)
    ignore = np.zeros((rows, columns), np.float32)
    offsets = np.zeros((8, rows, columns), np.float32)
    scale = np.zeros((rows, columns), np.float32)
    share = np.zeros((rows, columns), np.float32)
    known = np.zeros((rows, columns), np.float32)
    px = ((np.arange(columns, dtype=np.float32) + 0.5) * STRIDE)[None]
    py = ((np.arange(rows, dtype=np.float32) + 0.5) * STRIDE)[:, None]
    for x1, y1, x2, y2 in view.ignore:
        near = (px >= x1 - STRIDE) & (px <= x2 + STRIDE) & (py >= y1 - STRIDE) & (
            py <= y2 + STRIDE)  # fmt: skip
        ignore[near] = 1
    # the smallest last: where two plates want a cell, it has the fewer
    order = np.argsort([-np.ptp(quad[:, 0]) for quad in view.corners])
    for quad, trust in ((view.corners[i], view.known[i]) for i in order):
        low, high = quad.min(0), quad.max(0)
        cx, cy = (low + high) / 2
        w, h = high - low
        column, row = int(cx // STRIDE), int(cy // STRIDE)
        if not (0 <= column < columns and 0 <= row < rows):
            continue
        if w < LEAST_SEEN:
            ignore[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = 1
            continue
        spread_x, spread_y = max(0.12 * w, 0.55 * STRIDE), max(0.2 * h, 0.55 * STRIDE)
        bump = np.exp(-(((px - cx) / spread_x) ** 2 + ((py - cy) / spread_y) ** 2) / 2)
        heat = np.maximum(heat, np.where(bump > 0.02, bump, 0))
        heat[row, column] = 1
        near = (np.abs(px - cx) <= max(0.15 * w, 0.9 * STRIDE)) & (
            np.abs(py - cy) <= max(0.25 * h, 0.9 * STRIDE)
        )
        flat = quad.reshape(8)
        offsets[0::2, near] = (flat[0::2, None] - np.broadcast_to(px, near.shape)[near]) / (
            OFFSET_SCALE)  # fmt: skip
        offsets[1::2, near] = (flat[1::2, None] - np.broadcast_to(py, near.shape)[near]) / (
            OFFSET_SCALE)  # fmt: skip
        scale[near] = OFFSET_SCALE / max(LEAST_SEEN, float(w))
        share[near] = 1 / max(1, int(near.sum()))
        known[near] = trust
    return {
        "image": torch.from_numpy(np.ascontiguousarray(view.image.transpose(2, 0, 1))),
        "heat": torch.from_numpy(heat.astype(np.float32)),
        "ignore": torch.from_numpy(ignore),
        "offsets": torch.from_numpy(offsets),
        "scale": torch.from_numpy(scale),
        "share": torch.from_numpy(share),
        "known": torch.from_numpy(known),
    }
