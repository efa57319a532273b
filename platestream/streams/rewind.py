"""Frames of a file taken back, to be published once more."""

from __future__ import annotations

from collections.abc import Sequence

from platestream.streams.cameras import last_frame_id
from platestream.streams.connection import Client
from platestream.streams.group import lowest_unfinished
from platestream.streams.keys import OCR, VISUALIZE, camera_key, counts_key, entry_id, frames_key


def rewind(client: Client, camera: str, groups: Sequence[str], first: int) -> int:
    """Takes back the frames that some group is not done with, all of them in one transaction.

    A Redis that was started again may hand out frames which were done with, and whose pictures in
    shared memory have given way to later ones.

    Args:
        groups: The groups that count; the others are set to the same place.
        first: The first frame id of the recording.

    Returns:
        The id of the frame to go on with.
    """
    last = last_frame_id(client, camera)
    key = frames_key(camera)
    lowest = max(first, lowest_unfinished(client, key, groups)) if groups else last + 1
    if lowest > last:
        return last + 1
    pipeline = client.pipeline(transaction=True)
    pipeline.delete(key)
    for group in (VISUALIZE, OCR):
        pipeline.xgroup_create(key, group, id=entry_id(lowest - 1), mkstream=True)
    pipeline.hset(camera_key(camera), "last_frame_id", str(lowest - 1))
    pipeline.hincrby(counts_key(camera), "frames_in", lowest - 1 - last)
    pipeline.execute()
    return lowest
