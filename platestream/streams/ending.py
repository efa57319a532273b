"""How far each service is with the end of a camera's recording, and a camera's retirement."""

from __future__ import annotations

from typing import Any, cast

from platestream.streams.cameras import RING_TOKEN, read_hash, whole_number
from platestream.streams.connection import Client
from platestream.streams.group import first_unfinished, group_facts
from platestream.streams.keys import (
    CAMERAS_KEY,
    OCR,
    TRACK,
    VISUALIZE,
    WRITER,
    camera_key,
    end_id,
    frames_key,
    recording_key,
    rendered_key,
    tracks_key,
)


def is_through(client: Client, camera: str, service: str) -> bool:
    """Whether a service is done with all that a camera has published, the end included.

    Args:
        service: ``ocr``, ``track``, ``visualize`` or ``writer``.

    A camera that is still captured has no end; one that was never captured has nothing to do.
    """
    known = read_hash(client, camera_key(camera))
    if "started_at_ms" not in known:
        return True
    if known.get("ended") != "1":
        return False
    last = whole_number(known.get("last_frame_id"))
    if service == OCR:
        return first_unfinished(client, frames_key(camera), OCR) > last
    if service == VISUALIZE:
        return _end_is_done(client, frames_key(camera), VISUALIZE, last)
    if service == WRITER:
        recording = read_hash(client, recording_key(camera))
        finished = recording.get("state") == "finished"
        return finished and recording.get("end_id") == end_id(last)
    if service == TRACK:
        rows = cast("Any", client.xrevrange(tracks_key(camera), count=1))
        return last == 0 or (bool(rows) and rows[0][0].decode() == end_id(last))
    raise ValueError(f"no such service: {service}")


def retire_camera(client: Client, camera: str) -> bool:
    """Takes a camera out of those that are served; its pixels go, once nobody needs them.

    With the last of them goes the token of its rings, which can then be removed.

    Readings, tracks, passages and counters stay, and frame ids still go on from the last.

    Returns:
        Whether all pixels are gone: False where a group has not taken them yet.
    """
    client.srem(CAMERAS_KEY, camera)
    gone = True
    for key, readers in ((frames_key(camera), (OCR, VISUALIZE)), (rendered_key(camera), (WRITER,))):
        if all(is_through(client, camera, reader) for reader in readers):
            client.xtrim(key, maxlen=0, approximate=False)
        else:
            gone = gone and not client.xlen(key)
    if gone:
        client.hdel(camera_key(camera), RING_TOKEN)
    return gone


def _end_is_done(client: Client, key: str, group: str, last: int) -> bool:
    facts = group_facts(client, key).get(group)
    if facts is None:
        return False
    delivered = cast("bytes", facts["last-delivered-id"]).decode()
    return delivered == end_id(last) and not facts["pending"]
