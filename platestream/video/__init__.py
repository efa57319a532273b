"""Video in and out: open, read and pace a source; encode what a crash leaves playable."""

from __future__ import annotations

from platestream.video.encoder import KEYFRAME_S, TIME_BASE, VideoEncoder, count_frames
from platestream.video.pacer import Pacer
from platestream.video.source import SourceFrame, VideoSource, is_live

__all__ = [
    "KEYFRAME_S",
    "TIME_BASE",
    "Pacer",
    "SourceFrame",
    "VideoEncoder",
    "VideoSource",
    "count_frames",
    "is_live",
]
