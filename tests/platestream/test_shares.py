"""A camera's budget, shared out: never more than it, whatever is set."""

from __future__ import annotations

from dataclasses import astuple

import pytest

from platestream.settings import StreamSettings
from platestream.shares import LEAST_MIB, share_out

MIB = 2**20


def test_what_a_camera_has_by_default() -> None:
    shares = StreamSettings().shares
    assert (shares.frames, shares.rendered, shares.dead) == (128 * MIB, 128 * MIB, 128 * MIB)
    assert (shares.passages, shares.readings, shares.tracks) == (32 * MIB, 8 * MIB, 8 * MIB)
    assert sum(astuple(shares)) == 440 * MIB  # 8 for counters and what groups hold


@pytest.mark.parametrize("camera_mib", [LEAST_MIB, 56, 448, 10_000])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"frames": 1},
        {"frames": 4, "rendered": 4},
        {"dead": 4},
        {"dead": 2, "passages": 1, "readings": 1, "tracks": 1},
    ],
)
def test_all_shares_are_less_than_the_budget(camera_mib: int, given: dict[str, int | None]) -> None:
    shares = share_out(camera_mib, given)
    assert 0.9 * camera_mib * MIB > min(astuple(shares)) > 0
    assert sum(astuple(shares)) < camera_mib * MIB
    for name, mib in given.items():
        assert getattr(shares, name) == mib * MIB  # type: ignore[operator]


def test_what_one_leaves_unused_is_not_given_to_others() -> None:
    assert share_out(448, {"dead": 1}).frames == 128 * MIB
    assert share_out(448, {"dead": 256}).frames == int(16 * 4.8 * MIB)


def test_more_than_there_is_is_refused_with_what_is_missing() -> None:
    with pytest.raises(ValueError, match=r"64 MiB .*dead 60 are given away; frames, .* 10 .*4"):
        share_out(64, {"dead": 60})
    with pytest.raises(ValueError, match=r"-8 are left"):
        share_out(448, {"frames": 228, "rendered": 228})
