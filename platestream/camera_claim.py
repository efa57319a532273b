"""A camera's name in a Redis that others use: claimed by a run, refused where it is in use."""

from __future__ import annotations

import time

from platestream import streams
from platestream.errors import RedisError
from platestream.runtime import HEARTBEAT_LIFE_S

_CLAIM_LIFE_S = 60.0  # until a run's services are started; then it is renewed
_POLL_S = 0.05


def take_camera(client: streams.Client, claim: streams.RunClaim) -> None:
    """Claims a camera's name, and clears what an earlier run left of it; refuses one in use.

    Two runs that begin at once, of videos called alike, would clear away each other's frames: one
    of them has the claim, until it ends.

    Raises:
        RedisError: Another run, or another process, serves this camera.
    """
    camera = claim.camera
    until = time.monotonic() + HEARTBEAT_LIFE_S + 1  # what was killed is forgotten by then
    while True:
        if claim.take(_CLAIM_LIFE_S):
            break
        if time.monotonic() >= until:
            raise _in_use(camera, f"by the run {claim.holder() or 'of another'}")
        time.sleep(_POLL_S)
    while alive := next(client.scan_iter(match=f"alive:{{{camera}}}:*", count=1000), None):
        if time.monotonic() >= until:
            raise _in_use(camera, f"({alive.decode()})")
        time.sleep(_POLL_S)
    streams.forget_camera(client, camera)


def _in_use(camera: str, whose: str) -> RedisError:
    return RedisError(
        f"camera '{camera}' is in use in this Redis {whose}; "
        "stop that, or choose another name with --camera"
    )
