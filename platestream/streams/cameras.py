"""What is known of a camera, and its counters."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any, cast

from platestream.messages import CAMERA_NAME
from platestream.streams.connection import Client
from platestream.streams.keys import (
    CAMERAS_KEY,
    camera_key,
    camera_keys,
    counts_key,
    fence_key,
    frame_id_of,
    frames_key,
    owners_key,
)

RING_TOKEN = "ring_token"


def register_camera(client: Client, camera: str, **facts: str) -> None:
    """Notes what is known of a camera, for the other services and for ``status``."""
    client.sadd(CAMERAS_KEY, camera)
    client.hset(camera_key(camera), mapping=dict[Any, Any](facts))


def registered_cameras(client: Client) -> list[str]:
    """The cameras that are registered, sorted; what is no camera's name is left out."""
    names = cast("set[bytes]", client.smembers(CAMERAS_KEY))
    texts = (name.decode("utf-8", "replace") for name in names)
    return sorted(text for text in texts if re.fullmatch(CAMERA_NAME, text))


def noted_frame_id(client: Client, camera: str) -> int:
    """The last frame id that capture has noted; 0 if none. Looks at no stream, and no picture."""
    value = cast("bytes | None", client.hget(camera_key(camera), "last_frame_id"))
    return whole_number(value.decode("utf-8", "replace") if value else None)


def last_frame_id(client: Client, camera: str) -> int:
    """The last frame id that a camera has used; 0 if none. Ids go on from it for ever.

    For producers: what lies in the stream counts, too, whatever was noted.
    """
    known = noted_frame_id(client, camera)
    rows = cast("Any", client.xrevrange(frames_key(camera), count=1))
    return max(known, frame_id_of(rows[0][0])) if rows else known


def last_frame_fields(client: Client, camera: str) -> dict[bytes, bytes]:
    """The last entry of a camera's frames, its picture and all; empty if there is none."""
    rows = cast("Any", client.xrevrange(frames_key(camera), count=1))
    return dict(rows[0][1]) if rows else {}


def newest_live_frame(client: Client, camera: str) -> int | None:
    """The last frame id of a camera that is live now; None where it is not."""
    known = read_hash(client, camera_key(camera))
    return whole_number(known.get("last_frame_id")) if known.get("mode") == "live" else None


def last_uncounted_frame(client: Client, camera: str) -> int:
    """The last frame id before those that ``frames_in`` counts, which are all up to the last."""
    pipeline = client.pipeline(transaction=True)
    pipeline.hget(camera_key(camera), "last_frame_id")
    pipeline.hget(counts_key(camera), "frames_in")
    last, counted = (whole_number(text.decode() if text else None) for text in pipeline.execute())
    return max(0, last - counted)


def forget_camera(client: Client, camera: str) -> None:
    """Deletes a camera's streams and counters; its frame ids still go on from the last."""
    last = last_frame_id(client, camera)
    owners = read_hash(client, owners_key(camera))
    fences = [fence_key(camera, one, said.rpartition(" ")[2]) for one, said in owners.items()]
    pipeline = client.pipeline(transaction=True)
    pipeline.delete(*camera_keys(camera), *fences)
    if last:
        pipeline.hset(camera_key(camera), "last_frame_id", str(last))
    pipeline.execute()


def ring_token(client: Client, camera: str) -> str:
    """What a camera's rings of pictures are known by; made when it is first asked for.

    It is gone with the camera's entries: rings with another token are wanted by nobody.
    """
    client.hsetnx(camera_key(camera), RING_TOKEN, secrets.token_hex(8))
    return known_ring_token(client, camera) or ""


def known_ring_token(client: Client, camera: str) -> str | None:
    """The same, if it has been made."""
    value = cast("bytes | None", client.hget(camera_key(camera), RING_TOKEN))
    return value.decode("ascii", "replace") if value else None


def read_hash(client: Client, key: str) -> dict[str, str]:
    """A hash as text; empty if there is none."""
    return as_text(cast("dict[bytes, bytes]", client.hgetall(key)))


def as_text(raw: Mapping[bytes, bytes]) -> dict[str, str]:
    """A hash as Redis sends it, as text."""
    return {k.decode("utf-8", "replace"): v.decode("utf-8", "replace") for k, v in raw.items()}


def read_counts(client: Client, camera: str) -> dict[str, int]:
    """A camera's counters, by name."""
    counts = read_hash(client, counts_key(camera))
    return {name: whole_number(text) for name, text in counts.items()}


def whole_number(text: str | None) -> int:
    """A number that Redis holds as text; 0 where there is none, or something else."""
    try:
        return int(text or 0)
    except ValueError:
        return 0
