"""A narrower recognizer from a wider one: of each layer the channels that matter most."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from platestream.errors import DataError
from platestream.vision.recognition_model import LineConfig, PlateLine
from training.slimming import best, take, width


def slim(wide: PlateLine, config: LineConfig, new_mixer: bool = False) -> PlateLine:
    """A network of this shape that begins with the wide one's most important channels.

    Blocks and layers that are too many are left out from the end. What comes out has to be
    trained; it only begins better than by chance. A mixer that is another than the wide one's,
    or an LSTM, whose memory cells do not come apart, begins by chance all the same.

    Args:
        config: The wide network's, but for fewer channels, blocks or layers, or another mixer.
        new_mixer: The mixer begins by chance in any case.

    Raises:
        DataError: It is another.
    """
    of = wide.config
    sizes = zip((*config.channels, *config.blocks, config.layers),
                (*of.channels, *of.blocks, of.layers), strict=True)  # fmt: skip
    alike = ("classes", "height", "width", "heads")
    if any(getattr(config, name) != getattr(of, name) for name in alike) or any(
        mine > theirs for mine, theirs in sizes
    ):
        raise DataError(f"a recognizer of {config} cannot be made from another, {of}")
    thin = PlateLine(config)
    with torch.no_grad():
        line = _fill_trunk(thin, wide)
        if config.mixer == of.mixer == "attention" and not new_mixer:
            _fill_attention(thin, wide, line)
        _fill_norm(thin.along.norm, wide.along.norm, line)
        thin.head.weight.copy_(wide.head.weight[:, line])
        thin.head.bias.copy_(wide.head.bias)
    return thin


def _fill_trunk(thin: PlateLine, wide: PlateLine) -> Tensor:
    """Copies the convolutions; returns which channels of the line are kept."""
    stages, of_stages = _stages(thin), _stages(wide)
    before: Tensor | None = None
    for index, (stage, of) in enumerate(zip(stages, of_stages, strict=True)):
        if index + 1 < len(of_stages):
            following = of_stages[index + 1][0]
            makes = [of[0], *(block.second for block in of[1:])]
            uses = [following, *(block.first for block in of[1:])]
            kept = best(makes, uses, width(stage[0]))  # type: ignore[arg-type]
        else:
            kept = _best_of_line(wide, of[0], width(stage[0]))
        take(stage[0], of[0], kept, before)
        for block, of_block in zip(stage[1:], of[1:], strict=False):
            within = best([of_block.first], [of_block.second], width(block.first))  # type: ignore[arg-type,list-item]
            take(block.first, of_block.first, within, kept)  # type: ignore[arg-type]
            take(block.second, of_block.second, kept, within)  # type: ignore[arg-type]
        before = kept
    assert before is not None
    return before


def _stages(net: PlateLine) -> list[list[nn.Module]]:
    """The trunk's convolutions, each with the residual blocks that follow it."""
    stages: list[list[nn.Module]] = []
    for module in net.trunk:
        if hasattr(module, "first"):
            stages[-1].append(module)
        elif not isinstance(module, nn.ReLU):
            stages.append([module])
    return stages


def _best_of_line(wide: PlateLine, last: nn.Module, count: int) -> Tensor:
    """Which channels of the line matter most to the attention layers and the head."""
    norm = next(m for m in last.modules() if isinstance(m, nn.BatchNorm2d))
    used = (wide.along.norm.weight**2) * (wide.head.weight**2).sum(0)
    for layer in wide.along.layers if wide.config.mixer == "attention" else ():
        used = used + layer.norm.weight**2 * (layer.project.weight**2).sum(0)  # type: ignore[operator,union-attr]
        used = used + layer.feed[0].weight ** 2 * (layer.feed[1].weight ** 2).sum(0)  # type: ignore[index,union-attr,operator]
    return (norm.weight.abs() * used.sqrt()).topk(count).indices.sort().values


def _fill_attention(thin: PlateLine, wide: PlateLine, line: Tensor) -> None:
    thin.along.places.copy_(wide.along.places[..., line])
    for layer, of in zip(thin.along.layers, wide.along.layers, strict=False):
        _fill_layer(layer, of, line, wide.config.heads)


def _fill_layer(layer: nn.Module, of: nn.Module, line: Tensor, heads: int) -> None:
    whole, narrow = of.merge.weight.shape[0], len(line)  # type: ignore[union-attr]
    rows = of.project.weight.reshape(3, heads, -1, whole)  # type: ignore[union-attr,operator]
    strength = (rows**2).sum(-1).sqrt()
    after = (of.merge.weight**2).sum(0).sqrt().reshape(heads, -1)  # type: ignore[union-attr,operator]
    size = narrow // heads
    matched = (strength[0] * strength[1]).topk(size).indices.sort().values  # queries and keys
    carried = (strength[2] * after).topk(size).indices.sort().values  # values
    start = torch.arange(heads)[:, None] * (whole // heads)
    parts = [(matched + start).flatten() + n * whole for n in (0, 1)]
    values = (carried + start).flatten()
    picked = torch.cat([*parts, values + 2 * whole])
    _fill_norm(layer.norm, of.norm, line)
    layer.project.weight.copy_(of.project.weight[picked][:, line])  # type: ignore[union-attr,operator,index]
    layer.project.bias.copy_(of.project.bias[picked])  # type: ignore[union-attr,operator,index]
    # attention divides by the root of what a head has, which is less now
    ratio = (narrow / whole) ** 0.5
    layer.project.weight[:narrow] *= ratio  # type: ignore[union-attr,index]
    layer.project.bias[:narrow] *= ratio  # type: ignore[union-attr,index]
    layer.merge.weight.copy_(of.merge.weight[line][:, values])  # type: ignore[union-attr,operator,index]
    layer.merge.bias.copy_(of.merge.bias[line])  # type: ignore[union-attr,operator,index]
    norm, widen, _, _, back = layer.feed  # type: ignore[misc]
    of_norm, of_widen, _, _, of_back = of.feed  # type: ignore[misc]
    within = (of_widen.weight.norm(dim=1) * of_back.weight.norm(dim=0)).topk(
        widen.weight.shape[0]).indices.sort().values  # fmt: skip
    _fill_norm(norm, of_norm, line)
    widen.weight.copy_(of_widen.weight[within][:, line])
    widen.bias.copy_(of_widen.bias[within])
    back.weight.copy_(of_back.weight[line][:, within])
    back.bias.copy_(of_back.bias[line])


def _fill_norm(norm: nn.Module, of: nn.Module, line: Tensor) -> None:
    norm.weight.copy_(of.weight[line])  # type: ignore[operator,index]
    norm.bias.copy_(of.bias[line])  # type: ignore[operator,index]
