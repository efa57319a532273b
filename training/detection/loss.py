"""The detector's loss: where centres are, and where corners are from there."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from platestream.vision.heatmap import OFFSET_SCALE
from training.detection.targets import LEAST_SEEN

# With 2, plates were found as well and no tilt was learned in 3,500 steps: the error of corners
# that do not turn with their plate is small beside the other parts.
_CORNER_WEIGHT = 60.0
_OVERLAP_WEIGHT = 1.0
_SHAPE_WEIGHT = 0.1
_TAUGHT_CORNER_WEIGHT = 30.0
_SEEN = 0.3  # a teacher's score from which on its corners are worth learning
_NARROWEST = LEAST_SEEN / OFFSET_SCALE


class DetectionLoss(nn.Module):
    """Focal loss of the heatmap (CenterNet's, arXiv:1904.07850) plus the corners' errors.

    Where corners are known, each counts, as far as they are trusted. Where only a box is known,
    the box round the predicted corners counts instead, and a mild wish that they span a
    parallelogram. Every plate counts as much as any other, however many cells it has.
    """

    def forward(
        self,
        found: Tensor,
        heat: Tensor,
        ignore: Tensor,
        offsets: Tensor,
        scale: Tensor,
        share: Tensor,
        known: Tensor,
    ) -> Tensor:
        """Sums the parts.

        Args:
            found: Nx9xHxW, the network's output.
            heat, ignore, offsets, scale, share, known: As ``targets.to_sample`` gives them,
                batched.
        """
        centres = focal(found[:, 0].float(), heat, ignore)
        at = scale > 0
        if not at.any():
            return centres
        which = torch.nonzero(at, as_tuple=True)
        predicted = found[:, 1:].permute(0, 2, 3, 1)[which].float().reshape(-1, 4, 2)
        wanted = offsets.permute(0, 2, 3, 1)[which].reshape(-1, 4, 2)
        size = scale[which][:, None]
        trust = known[which][:, None]
        corner = F.smooth_l1_loss(
            predicted * size[..., None], wanted * size[..., None], beta=0.02, reduction="none"
        ).mean((1, 2))[:, None]
        low, high = predicted.amin(1), predicted.amax(1)
        true_low, true_high = wanted.amin(1), wanted.amax(1)
        edges = torch.cat([low - true_low, high - true_high], 1) * size
        box = F.smooth_l1_loss(edges, torch.zeros_like(edges), beta=0.02, reduction="none").mean(
            1, keepdim=True
        )
        overlap = 1 - giou(low, high, true_low, true_high)[:, None]
        bent = (predicted[:, 0] + predicted[:, 2] - predicted[:, 1] - predicted[:, 3]) * size
        shape = bent.abs().mean(1, keepdim=True)
        geometry = (
            _CORNER_WEIGHT * (trust * corner + (1 - trust) * box)
            + _OVERLAP_WEIGHT * overlap
            + _SHAPE_WEIGHT * (1 - trust) * shape
        )
        weight = share[which][:, None]
        return centres + (geometry * weight).sum() / weight.sum()


def focal(logits: Tensor, heat: Tensor, ignore: Tensor) -> Tensor:
    """Penalty-reduced focal loss of a heatmap, per plate."""
    p = logits.sigmoid().clamp(1e-5, 1 - 1e-5)
    positive = heat == 1
    gain = torch.log(p) * (1 - p) ** 2 * positive
    loss = torch.log(1 - p) * p**2 * (1 - heat) ** 4 * (~positive) * (1 - ignore)
    return -(gain.sum() + loss.sum()) / max(1, int(positive.sum()))


def giou(low: Tensor, high: Tensor, true_low: Tensor, true_high: Tensor) -> Tensor:
    """Generalized intersection over union (arXiv:1902.09630) of Nx2 box corners."""
    shared = (torch.minimum(high, true_high) - torch.maximum(low, true_low)).clamp(min=0).prod(1)
    area = (high - low).clamp(min=0).prod(1) + (true_high - true_low).prod(1)
    union = area - shared + 1e-6
    hull = (torch.maximum(high, true_high) - torch.minimum(low, true_low)).prod(1) + 1e-6
    return shared / union - (hull - union) / hull


def taught(found: Tensor, told: Tensor, heat: Tensor) -> Tensor:
    """What a smaller network's map lacks of a teacher's, per plate.

    Every cell's score is drawn to the teacher's, the more the further it is from it (quality focal
    loss, arXiv:2006.04388); where the teacher sees a plate's middle, so are the corners.

    Args:
        found: Nx9xHxW, the network's output.
        told: Nx9xHxW, the teacher's.
        heat: As ``targets.to_sample`` gives it, batched: how many plates there are.
    """
    found, told = found.float(), told.float()
    wanted = told[:, 0].sigmoid()
    away = (found[:, 0].sigmoid() - wanted).abs()
    entropy = F.binary_cross_entropy_with_logits(found[:, 0], wanted, reduction="none")
    centres = (away**2 * entropy).sum() / max(1, int((heat == 1).sum()))
    at = torch.nonzero(wanted > _SEEN, as_tuple=True)
    if not len(at[0]):
        return centres
    mine = found[:, 1:].permute(0, 2, 3, 1)[at].reshape(-1, 4, 2)
    theirs = told[:, 1:].permute(0, 2, 3, 1)[at].reshape(-1, 4, 2)
    width = (theirs[..., 0].amax(1) - theirs[..., 0].amin(1)).clamp(min=_NARROWEST)[:, None, None]
    error = F.smooth_l1_loss(mine / width, theirs / width, beta=0.02, reduction="none")
    trust = wanted[at] / width[:, 0, 0]  # a narrow plate has fewer cells
    corners = (error.mean((1, 2)) * trust).sum() / trust.sum()
    return centres + _TAUGHT_CORNER_WEIGHT * corners
