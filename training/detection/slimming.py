"""A narrower detector from a wider one: of each layer the channels that matter most."""

from __future__ import annotations

import torch

from platestream.errors import DataError
from platestream.vision.detection_model import CentresConfig, PlateCentres
from training.slimming import best, take, width


def slim(wide: PlateCentres, config: CentresConfig) -> PlateCentres:
    """A network of this shape that begins with the wide one's most important channels.

    Residual blocks that are too many are left out from the end of their stage. What comes out has
    to be trained; it only begins better than by chance.

    Args:
        config: No wider and no deeper than the wide network's, anywhere.

    Raises:
        DataError: It is.
    """
    of = wide.config
    sizes = zip((*config.channels, *config.blocks, config.head),
                (*of.channels, *of.blocks, of.head), strict=True)  # fmt: skip
    if any(mine > theirs for mine, theirs in sizes):
        raise DataError(f"a detector of {config} cannot be made from a smaller one, {of}")
    thin = PlateCentres(config)
    with torch.no_grad():
        _fill(thin, wide)
    return thin


def _fill(thin: PlateCentres, wide: PlateCentres) -> None:
    first, second = (width(conv) for conv in thin.stem)
    kept = best([wide.stem[0]], [wide.stem[1]], first)
    take(thin.stem[0], wide.stem[0], kept, None)
    before = best([wide.stem[1]], [wide.stages[0][0]], second)  # type: ignore[index]
    take(thin.stem[1], wide.stem[1], before, kept)
    heads = best(
        [*wide.laterals, *wide.merges], [*wide.merges, wide.smooth], width(thin.laterals[0])
    )
    pairs = zip(thin.stages, wide.stages, thin.laterals, wide.laterals, strict=True)
    for index, (stage, of, lateral, of_lateral) in enumerate(pairs):
        makes = [of[0], *(block.second for block in of[1:])]  # type: ignore[index]
        uses = [of_lateral, *(block.first for block in of[1:])]  # type: ignore[index]
        if index + 1 < len(wide.stages):
            uses.append(wide.stages[index + 1][0])  # type: ignore[index]
        kept = best(makes, uses, width(stage[0]))  # type: ignore[index]
        take(stage[0], of[0], kept, before)  # type: ignore[index]
        for block, of_block in zip(stage[1:], of[1:], strict=False):  # type: ignore[index]
            within = best([of_block.first], [of_block.second], width(block.first))
            take(block.first, of_block.first, within, kept)
            take(block.second, of_block.second, kept, within)
        take(lateral, of_lateral, heads, kept)
        before = kept
    for merge, of_merge in zip(thin.merges, wide.merges, strict=True):
        take(merge, of_merge, heads, heads)
    last = best([wide.smooth], [wide.head], width(thin.smooth))
    take(thin.smooth, wide.smooth, last, heads)
    thin.head.weight.copy_(wide.head.weight[:, last])
    if thin.head.bias is not None and wide.head.bias is not None:
        thin.head.bias.copy_(wide.head.bias)
