"""A narrower recognizer begins with the wider one's channels."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from platestream.errors import DataError
from platestream.vision.recognition_model import LineConfig, Mixer, PlateLine
from training.recognition.slimming import slim

WIDE = LineConfig(12, channels=(8, 12, 16, 32), blocks=(1, 2, 1))


def made(mixer: Mixer = "attention") -> PlateLine:
    torch.manual_seed(0)
    net = PlateLine(replace(WIDE, mixer=mixer))
    net.train()
    net(torch.randn(4, 1, 48, 192))  # batch normalisation has seen something
    return net.eval()


@pytest.mark.parametrize("mixer", ["attention", "none"])
def test_one_of_the_same_shape_is_the_same(mixer: Mixer) -> None:
    wide, pictures = made(mixer), torch.randn(2, 1, 48, 192)
    torch.testing.assert_close(slim(wide, wide.config).eval()(pictures), wide(pictures))


def test_channels_that_say_nothing_go_first() -> None:
    """What only silenced channels of the trunk did is not missed when they are gone."""
    wide, pictures = made(), torch.randn(2, 1, 48, 192)
    for module in list(wide.trunk.modules())[:-4]:  # all but the last, which makes the line
        if isinstance(module, torch.nn.BatchNorm2d) and module.num_features < 32:
            module.weight.data[::2] = 0
            module.bias.data[::2] = 0
    thin = slim(wide, replace(WIDE, channels=(4, 6, 8, 32))).eval()
    torch.testing.assert_close(thin(pictures), wide(pictures), rtol=1e-4, atol=1e-4)


def test_it_has_the_shape_that_is_asked() -> None:
    config = replace(WIDE, channels=(4, 8, 12, 16), blocks=(1, 1, 1), layers=1)
    thin = slim(made(), config)
    assert thin.config == config
    assert thin(torch.randn(1, 1, 48, 192)).shape == (1, 48, 12)


def test_attention_is_as_sharp_with_fewer_channels() -> None:
    """It divides by the root of how many a head has: what is left is weighed as before."""
    wide = made()
    layer = wide.along.layers[0]
    for rows in layer.project.weight.data.reshape(3, 4, 8, 32):
        rows[:, ::2] = 0  # every second channel of a head matches, and carries, nothing
    for norm in (wide.along.norm, *(m for x in wide.along.layers for m in (x.norm, x.feed[0]))):
        norm.weight.data[::2] = 0  # and every second one of the line is not looked at
    line = torch.randn(48, 32)
    line[:, ::2] = 0
    thin = slim(wide, replace(WIDE, channels=(*WIDE.channels[:3], 16)))
    before = matches(layer.project.weight.data, line, 32)
    after = matches(thin.along.layers[0].project.weight.data, line[:, 1::2], 16)
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-4)


def matches(project: torch.Tensor, line: torch.Tensor, channels: int) -> torch.Tensor:
    """How well positions match, for each of four heads."""
    queries, keys, _ = (line @ project.T).split(channels, 1)
    each = [part.reshape(len(line), 4, -1).transpose(0, 1) for part in (queries, keys)]
    return each[0] @ each[1].transpose(1, 2) / (channels / 4) ** 0.5


def test_nothing_grows() -> None:
    with pytest.raises(DataError, match="cannot be made from"):
        slim(made(), replace(WIDE, channels=(9, 12, 16, 32)))
    with pytest.raises(DataError, match="cannot be made from"):
        slim(made(), replace(WIDE, width=128))


@pytest.mark.parametrize(
    ("before", "after"), [("attention", "lstm"), ("lstm", "lstm"), ("attention", "attention")]
)
def test_a_new_mixer_begins_by_chance_and_the_rest_does_not(before: Mixer, after: Mixer) -> None:
    wide, pictures = made(before), torch.randn(2, 1, 48, 192)
    torch.manual_seed(1)
    thin = slim(wide, replace(WIDE, mixer=after), new_mixer=True).eval()
    torch.testing.assert_close(thin.trunk(pictures), wide.trunk(pictures))
    torch.testing.assert_close(thin.head.weight, wide.head.weight)
    assert not torch.allclose(thin(pictures), wide(pictures))
