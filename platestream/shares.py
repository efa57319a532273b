"""What one camera may take of Redis, shared out among its keys."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

_MIB = 2**20
_PARTS = {
    "frames": 16,
    "rendered": 16,
    "dead": 16,
    "passages": 4,
    "readings": 1,
    "tracks": 1,
    "tracker": 1,
}
# counters, what groups hold, facts, tallies; and what is over a share until it is looked at
_REST = 1
_ALL = sum(_PARTS.values()) + _REST
_LEAST_MIB = 0.25  # of a part

LEAST_MIB = math.ceil(_ALL * _LEAST_MIB)
"""The smallest budget of a camera."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Bytes of Redis's memory that a camera's keys may take, by what they hold.

    Attributes:
        dead: With what is to be tried again.
    """

    frames: int
    rendered: int
    dead: int
    passages: int
    readings: int
    tracks: int
    tracker: int


def share_out(camera_mib: int, given: Mapping[str, int | None]) -> Shares:
    """Shares a camera's budget out: so that all shares together are never more than it.

    Each has a fixed part of the budget. One that is given a size of its own has that; if it is
    more than its part, the others have less, and if it is less, it stays unused.

    Args:
        camera_mib: The budget, in MiB.
        given: Sizes in MiB, by share; None: its part.

    Raises:
        ValueError: Those that are given leave too little for the others; it says how much.
    """
    own = {name: mib for name, mib in given.items() if mib is not None}
    left = camera_mib - sum(own.values())
    others = [name for name in _PARTS if name not in own]
    parts = sum(_PARTS[name] for name in others) + _REST
    if left < parts * _LEAST_MIB:
        said = ", ".join(f"{name} {mib}" for name, mib in own.items()) or "nothing"
        raise ValueError(
            f"a camera has {camera_mib} MiB (streams.camera_mib), of which {said} are given away; "
            f"{', '.join([*others, 'counters'])} need {math.ceil(parts * _LEAST_MIB)} more, and "
            f"{left} are left"
        )
    part = min(camera_mib / _ALL, left / parts)
    sizes = {name: own.get(name, part * weight) for name, weight in _PARTS.items()}
    return Shares(**{name: int(mib * _MIB) for name, mib in sizes.items()})
