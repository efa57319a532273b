"""H.264 encoders: the one in software, those in hardware, and which of them work here."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.codec
import av.error
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from platestream.colour import BT601, Colour
from platestream.errors import SettingsError
from platestream.video.reason import reason

TIME_BASE = Fraction(1, 90_000)  # MPEG's clock: 24, 25, 30 and 30000/1001 fps are whole in it
KEYFRAME_S = 2.0
LONGEST_GAP_S = 6 * 3600.0
"""Between two frames of a file: FFmpeg's muxer holds 31 bits of ``TIME_BASE``, 6.6 hours."""

# each frame is a fragment of its own: what has been written can be played, whatever happens next;
# times are kept as they are (frag_discont, …), so that fragments can be appended to a file
_MUXER = {
    "movflags": "empty_moov+default_base_moof+frag_every_frame+frag_discont+skip_trailer",
    "flush_packets": "1",
    "use_editlist": "0",
    "avoid_negative_ts": "disabled",
}
_BITS_PER_PIXEL = 0.1  # where an encoder knows no constant quality: 2.8 Mbit/s at 720p, 30 fps
# how the settings' presets, which are x264's, are called by others
_NVENC_PRESETS = {"ultrafast": "p1", "superfast": "p2", "veryfast": "p3", "faster": "p4",
                  "fast": "p5", "medium": "p6"}  # fmt: skip
_QSV_PRESETS = {"ultrafast": "veryfast", "superfast": "veryfast"}
_AMF_QUALITIES = {"fast": "balanced", "medium": "quality"}


@dataclass(frozen=True)
class _Codec:
    """How an encoder is set up.

    Attributes:
        pixel_format: What it takes: ``yuv420p`` or ``nv12``.
        options: Its own options from a preset and a quality of x264's scale.
        constant_quality: Whether it knows a quality; else it gets a bit rate.
    """

    pixel_format: str
    options: Callable[[str, int], dict[str, str]]
    constant_quality: bool = True


_CODECS = {
    "h264_nvenc": _Codec("yuv420p", lambda preset, crf: {
        "preset": _NVENC_PRESETS[preset], "tune": "ull", "rc": "vbr", "cq": str(crf), "b": "0",
        "delay": "0", "zerolatency": "1"}),
    "h264_qsv": _Codec("nv12", lambda preset, crf: {
        "preset": _QSV_PRESETS.get(preset, preset), "global_quality": str(max(1, crf)),
        "async_depth": "1"}),
    "h264_amf": _Codec("nv12", lambda preset, crf: {
        "usage": "lowlatency", "quality": _AMF_QUALITIES.get(preset, "speed"), "rc": "cqp",
        "qp_i": str(crf), "qp_p": str(crf)}),
    "h264_videotoolbox": _Codec("nv12", lambda _preset, _crf: {
        "realtime": "1", "allow_sw": "0"}, constant_quality=False),
    "h264_v4l2m2m": _Codec("yuv420p", lambda _preset, _crf: {}, constant_quality=False),
    "libx264": _Codec("yuv420p", lambda preset, crf: {
        "preset": preset, "crf": str(crf), "tune": "zerolatency"}),
}  # fmt: skip
NAMES = tuple(_CODECS)
_SOFTWARE = "libx264"


def open_muxer(
    file: Any,
    codec: str,
    size: tuple[int, int],
    rate: Fraction,
    *,
    preset: str,
    crf: int,
    threads: int,
    colour: Colour = BT601,
) -> tuple[OutputContainer, VideoStream]:
    """Opens an encoder and an MP4 that has a fragment for each of its frames.

    Args:
        file: What the muxer writes into; needs only ``write``.
        codec: One of the settings' names.
        size: Width and height in pixels, both even.
        crf: Quality, 0 to 51 on x264's scale; others take it as their constant quality, and
            those that have none get 0.1 bit a pixel.
        threads: Of libx264; 0 lets it choose.
        colour: Of the planes to come; the file says it.

    Raises:
        av.error.FFmpegError: The encoder does not open.
    """
    how = _CODECS[codec]
    container = av.open(file, "w", format="mp4", options=_MUXER)
    stream = container.add_stream(codec, rate=rate)
    assert isinstance(stream, VideoStream)
    context = stream.codec_context
    stream.width, stream.height = size
    stream.pix_fmt = how.pixel_format
    stream.time_base = context.time_base = TIME_BASE
    context.gop_size = max(1, round(KEYFRAME_S * rate))
    context.max_b_frames = 0
    context.color_range, context.colorspace = colour.range_code, colour.matrix_code
    if codec == _SOFTWARE:
        context.thread_count = threads
    if not how.constant_quality:
        context.bit_rate = round(size[0] * size[1] * float(rate) * _BITS_PER_PIXEL)
    stream.options = {**how.options(preset, crf)}
    container.start_encoding()
    return container, stream


def choose(codec: str) -> str:
    """The encoder that a setting stands for, tried.

    Args:
        codec: An encoder's name, or ``auto``: the first in hardware that works, else libx264.

    Raises:
        SettingsError: It does not work here; the message says why, and which do.
    """
    if codec == "auto":
        return working()[0]
    failure = _try(codec)
    if failure:
        raise SettingsError(
            f"writer.codec: '{codec}' does not work here ({failure}); "
            f"what does: {', '.join(working())}"
        )
    return codec


def working() -> list[str]:
    """The encoders that work here, those in hardware first."""
    return [codec for codec in _CODECS if not _try(codec)]


@functools.cache
def _try(codec: str) -> str:
    """Why an encoder does not work here; empty if what it writes can be read again."""
    if codec not in av.codec.codecs_available:
        return "this FFmpeg does not have it"
    size, frames = (640, 368), 5  # the least sides of hardware are some 150 pixels
    file = io.BytesIO()
    level = av.logging.get_level()
    av.logging.set_level(av.logging.FATAL)  # that one does not open is no error
    try:
        # no seek: as on the way to the disk
        container, stream = open_muxer(
            _WriteOnly(file), codec, size, Fraction(25), preset="superfast", crf=23, threads=1
        )
        grey = np.full((size[1] * 3 // 2, size[0]), 128, np.uint8)
        for number in range(frames):
            picture = VideoFrame.from_ndarray(grey, format="yuv420p")
            picture.pts, picture.time_base = number * 3600, TIME_BASE
            container.mux(stream.encode(picture.reformat(format=stream.pix_fmt)))
        container.mux(stream.encode(None))
        container.close()
        file.seek(0)
        with av.open(file, "r") as written:
            decoded = len(list(written.decode(video=0)))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        return reason(error)
    finally:
        av.logging.set_level(level)
    return "" if decoded == frames else f"it gave {decoded} of {frames} frames"


class _WriteOnly:
    def __init__(self, file: io.BytesIO) -> None:
        self.write = file.write
