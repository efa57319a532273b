"""Producers: frames under ids of their own, readings, what is put aside as dead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import redis

from platestream.streams.group import Delivery
from platestream.streams.keys import OCR, camera_key, counts_key, dead_key, frames_key, readings_key

READINGS_KEPT = 20_000  # at most; fewer where they are large
READINGS_BUDGET = 64 * 2**20  # bytes
READINGS_LEAST = 512  # whatever their size: what is under way must not be lost
DEAD_KEPT = 1_000


def publish(
    client: redis.Redis,
    key: str,
    stream_id: str,
    fields: Mapping[Any, Any],
    *,
    max_entries: int | None = None,
) -> bool:
    """Adds an entry to ``frames`` or ``rendered`` under an id of the producer's.

    Args:
        max_entries: Trims the stream to so many entries (live mode's byte budget, in entries).

    Returns:
        False if the stream has this id or a later one already: it was published before.
    """
    try:
        client.xadd(
            key,
            dict(fields),
            id=stream_id,
            maxlen=max_entries,
            approximate=False,
        )
    except redis.ResponseError as error:
        if "equal or smaller" in str(error):
            return False
        raise
    return True


def note_captured(client: redis.Redis, camera: str, frame_id: int) -> None:
    """Says that a frame is out: the camera's last one, and one more in its counter."""
    pipeline = client.pipeline(transaction=False)
    pipeline.hset(camera_key(camera), "last_frame_id", str(frame_id))
    pipeline.hincrby(counts_key(camera), "frames_in", 1)
    pipeline.execute()


def publish_readings(
    client: redis.Redis,
    camera: str,
    readings: Sequence[Mapping[Any, Any]],
    done_ids: Sequence[str],
) -> None:
    """Publishes a batch's readings and acknowledges their frames, in one transaction.

    The stream is trimmed to as many of the largest of them as ``READINGS_BUDGET`` holds.
    """
    pipeline = client.pipeline(transaction=True)
    largest = max((sum(len(v) for v in fields.values()) for fields in readings), default=1)
    kept = min(READINGS_KEPT, max(READINGS_LEAST, READINGS_BUDGET // max(1, largest)))
    for fields in readings:
        pipeline.xadd(
            readings_key(camera),
            dict(fields),
            maxlen=kept,
            approximate=True,
        )
    if readings:
        pipeline.hincrby(counts_key(camera), "readings", len(readings))
    if done_ids:
        pipeline.xack(frames_key(camera), OCR, *done_ids)
    pipeline.execute()


def publish_dead(client: redis.Redis, camera: str, delivery: Delivery, error: str) -> None:
    """Puts a frame that cannot be read aside, with its error, and acknowledges it."""
    fields = {"error": error[:2000], "deliveries": str(delivery.deliveries)}
    kept = {k.decode(): v for k, v in delivery.fields.items()} if delivery.fields else {}
    pipeline = client.pipeline(transaction=True)
    pipeline.xadd(
        dead_key(camera),
        cast("dict[Any, Any]", {"frame_id": str(delivery.frame_id)} | kept | fields),
        maxlen=DEAD_KEPT,
        approximate=True,
    )
    pipeline.hincrby(counts_key(camera), "dead", 1)
    pipeline.xack(frames_key(camera), OCR, delivery.id)
    pipeline.execute()
