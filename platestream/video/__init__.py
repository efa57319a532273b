"""Video in and out: open, read and pace a source; encode what a crash leaves playable."""

from __future__ import annotations

from platestream.video.backoff import Backoff
from platestream.video.codecs import KEYFRAME_S, LONGEST_GAP_S, TIME_BASE
from platestream.video.container import StalledError
from platestream.video.encoder import VideoEncoder, finish_video, unfinished_path
from platestream.video.fitting import fit
from platestream.video.fragments import Fragments, OtherHeaderError, scan
from platestream.video.live_reader import LiveFrame, LiveReader
from platestream.video.opening import open_file
from platestream.video.pacer import Pacer
from platestream.video.picture_folder import PictureFolder
from platestream.video.source import SourceFrame, VideoSource
from platestream.video.source_options import check_source, is_live
from platestream.video.timestamps import LIVE_GAP_S, Timestamps
from platestream.video.trust import Trust

__all__ = [
    "KEYFRAME_S",
    "LIVE_GAP_S",
    "LONGEST_GAP_S",
    "TIME_BASE",
    "Backoff",
    "Fragments",
    "LiveFrame",
    "LiveReader",
    "OtherHeaderError",
    "Pacer",
    "PictureFolder",
    "SourceFrame",
    "StalledError",
    "Timestamps",
    "Trust",
    "VideoEncoder",
    "VideoSource",
    "check_source",
    "finish_video",
    "fit",
    "is_live",
    "open_file",
    "scan",
    "unfinished_path",
]
