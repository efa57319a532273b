"""What a capture process has published of a live source, as tests ask for it."""

from __future__ import annotations

import itertools

import redis

from platestream import messages, pixels, streams
from platestream.messages import Frame
from tests.conftest import wait_until
from tests.numbered import number_of

CAMERA = "gate-1"
FAST = ("capture.timeout_s=2", "capture.reconnect_max_s=0.5")


def frames(client: redis.Redis) -> list[Frame]:
    found = [messages.parse_frame(f) for _, f in client.xrange(streams.frames_key(CAMERA))]
    return [frame for frame in found if isinstance(frame, Frame)]


def numbers(some: list[Frame]) -> list[int]:
    return [int(number_of(pixels.unpack(f.pixels, f.width, f.height))) for f in some]


def facts(client: redis.Redis) -> dict[str, str]:
    return streams.read_hash(client, streams.camera_key(CAMERA))


def counts(client: redis.Redis, name: str) -> int:
    return int(streams.read_hash(client, streams.counts_key(CAMERA)).get(name, 0))


def captured(client: redis.Redis) -> int:
    return counts(client, "frames_in")


def more(client: redis.Redis, many: int = 20) -> None:
    """Waits until some more frames have come."""
    before = captured(client)
    wait_until(lambda: captured(client) >= before + many, what=f"{many} more frames")


def check_order(some: list[Frame], held: int = 0) -> None:
    """Ids without a gap; times that rise, and with the clock.

    Args:
        held: How many may have come late: a demuxer keeps the last of a stall until it is over.
    """
    ids = [frame.frame_id for frame in some]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    steps = [b.pts_s - a.pts_s for a, b in itertools.pairwise(some)]
    assert min(steps) > 0
    drift = sorted(f.captured_at_ms / 1000 - f.pts_s for f in some)[: len(some) - held]
    assert max(drift) - min(drift) < 3.0
