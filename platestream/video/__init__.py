"""Video in and out: open, read and pace a source; encode what a crash leaves playable."""

from __future__ import annotations

from platestream.video.codecs import KEYFRAME_S, TIME_BASE
from platestream.video.encoder import VideoEncoder, finish_video, unfinished_path
from platestream.video.fragments import Fragments, OtherHeaderError, scan
from platestream.video.pacer import Pacer
from platestream.video.source import SourceFrame, VideoSource, is_live

__all__ = [
    "KEYFRAME_S",
    "TIME_BASE",
    "Fragments",
    "OtherHeaderError",
    "Pacer",
    "SourceFrame",
    "VideoEncoder",
    "VideoSource",
    "finish_video",
    "is_live",
    "scan",
    "unfinished_path",
]
