"""Redis Streams: keys, producers, consumer groups, back-pressure, claims; nothing else speaks them.

``frames`` and ``rendered`` have one producer per camera and use the frame id as entry id
(``<frame_id>-0``, and ``<last frame_id>-1`` for the end of a recording): a frame is found by its
id, and a producer that repeats itself is refused.
``readings`` come from many replicas, out of order, under automatic ids. ``tracks`` have the frame
id as entry id again; ``passages`` are numbered, ``<number>-0``.
"""

from __future__ import annotations

from platestream.streams.backlog import (
    GroupBacklog,
    StreamBacklog,
    alive_services,
    backlog,
    last_overlay_age_ms,
)
from platestream.streams.budget import (
    ByteBudget,
    held_bytes,
)
from platestream.streams.cameras import (
    forget_camera,
    known_ring_token,
    last_frame_fields,
    last_frame_id,
    last_uncounted_frame,
    newest_live_frame,
    noted_frame_id,
    read_counts,
    read_hash,
    register_camera,
    registered_cameras,
    ring_token,
    whole_number,
)
from platestream.streams.claim import RunClaim
from platestream.streams.connection import (
    FAILURE,
    OUTAGE,
    Client,
    RestartError,
    ServerIdentity,
    StreamsLostError,
    connect,
    is_loss,
    is_outage,
)
from platestream.streams.dead import (
    DeadFrame,
    drop_dead,
    list_dead,
    publish_dead,
    retry_dead,
)
from platestream.streams.ending import (
    is_through,
    retire_camera,
)
from platestream.streams.follower import (
    Follower,
    read_together,
)
from platestream.streams.group import (
    Delivery,
    GroupConsumer,
    ack_as_it_was,
    ensure_group,
    first_unfinished,
    group_facts,
    last_handed_out,
    lowest_unfinished,
    oldest_id,
)
from platestream.streams.keys import (
    CAMERAS_KEY,
    OCR,
    REPLICAS_KEY,
    TRACK,
    VISUALIZE,
    WRITER,
    alive_key,
    camera_key,
    camera_keys,
    counts_key,
    dead_key,
    end_id,
    entry_id,
    frame_id_of,
    frames_key,
    owners_key,
    passages_key,
    readings_key,
    recording_key,
    rendered_key,
    retry_key,
    tracker_key,
    tracks_key,
)
from platestream.streams.limit import (
    Trimmer,
    own_limit,
    size_of,
)
from platestream.streams.open_connections import OpenConnections
from platestream.streams.owner import (
    Owner,
    other_owner,
    process_name,
    taken_over,
)
from platestream.streams.pool import (
    Policy,
    PoolConsumer,
    PoolDelivery,
)
from platestream.streams.publishing import (
    Captured,
    last_published,
    publish,
    publish_captured,
    publish_captured_end,
    publish_readings,
    readings_trimmer,
)
from platestream.streams.refusal import (
    away,
    is_unwritable,
    refusal,
    unreachable,
    wrong_answer,
)
from platestream.streams.replicas import (
    REPLICA_LIFE_S,
    announce_replica,
    forget_replica,
    living_replicas,
    remove_gone,
)
from platestream.streams.rewind import (
    rewind,
)
from platestream.streams.tally import Tally
from platestream.streams.tracks import (
    TrackerStep,
    TracksTrimmer,
    last_passage_id,
    look_around,
    newest_tracks,
    publish_tracks,
    read_tracker,
)
from platestream.streams.trimming import (
    publish_rendered,
)
from platestream.streams.window import (
    Window,
)

__all__ = [
    "CAMERAS_KEY",
    "FAILURE",
    "OCR",
    "OUTAGE",
    "REPLICAS_KEY",
    "REPLICA_LIFE_S",
    "TRACK",
    "VISUALIZE",
    "WRITER",
    "ByteBudget",
    "Captured",
    "Client",
    "DeadFrame",
    "Delivery",
    "Follower",
    "GroupBacklog",
    "GroupConsumer",
    "OpenConnections",
    "Owner",
    "Policy",
    "PoolConsumer",
    "PoolDelivery",
    "RestartError",
    "RunClaim",
    "ServerIdentity",
    "StreamBacklog",
    "StreamsLostError",
    "Tally",
    "TrackerStep",
    "TracksTrimmer",
    "Trimmer",
    "Window",
    "ack_as_it_was",
    "alive_key",
    "alive_services",
    "announce_replica",
    "away",
    "backlog",
    "camera_key",
    "camera_keys",
    "connect",
    "counts_key",
    "dead_key",
    "drop_dead",
    "end_id",
    "ensure_group",
    "entry_id",
    "first_unfinished",
    "forget_camera",
    "forget_replica",
    "frame_id_of",
    "frames_key",
    "group_facts",
    "held_bytes",
    "is_loss",
    "is_outage",
    "is_through",
    "is_unwritable",
    "known_ring_token",
    "last_frame_fields",
    "last_frame_id",
    "last_handed_out",
    "last_overlay_age_ms",
    "last_passage_id",
    "last_published",
    "last_uncounted_frame",
    "list_dead",
    "living_replicas",
    "look_around",
    "lowest_unfinished",
    "newest_live_frame",
    "newest_tracks",
    "noted_frame_id",
    "oldest_id",
    "other_owner",
    "own_limit",
    "owners_key",
    "passages_key",
    "process_name",
    "publish",
    "publish_captured",
    "publish_captured_end",
    "publish_dead",
    "publish_readings",
    "publish_rendered",
    "publish_tracks",
    "read_counts",
    "read_hash",
    "read_together",
    "read_tracker",
    "readings_key",
    "readings_trimmer",
    "recording_key",
    "refusal",
    "register_camera",
    "registered_cameras",
    "remove_gone",
    "rendered_key",
    "retire_camera",
    "retry_dead",
    "retry_key",
    "rewind",
    "ring_token",
    "size_of",
    "taken_over",
    "tracker_key",
    "tracks_key",
    "unreachable",
    "whole_number",
    "wrong_answer",
]
