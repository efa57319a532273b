"""Containers: a file, a URL or a device opened, and what it says of the video in it."""

from __future__ import annotations

import contextlib
import socket
import time
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import av.error
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from platestream.errors import SourceError
from platestream.masking import mask
from platestream.messages import MAX_PIXELS, MAX_SIDE
from platestream.video import device
from platestream.video.reason import reason
from platestream.video.source_options import is_live, options_for
from platestream.video.transport_stream import TransportStream
from platestream.video.trust import PORTS as TLS_PORTS
from platestream.video.trust import Trust

_STILLS = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails
IN_PIECES = ("hls", "dash")  # playlists: FFmpeg's names
_MAX_RATE = 240
_FALLBACK_RATE = Fraction(25)
_PORTS = {"http": 80, "rtsp": 554, "rtmp": 1935, **TLS_PORTS}  # those of TCP
_CONNECTED_S = 2.0  # a connection that takes longer is none


class StalledError(SourceError):
    """A live source is connected and gives no frame."""


def open_source(
    source: str,
    rtsp_transport: str = "tcp",
    timeout_s: float = 10.0,
    trust: Trust | None = None,
) -> InputContainer:
    """Opens a file, a URL or a device.

    Args:
        rtsp_transport: ``tcp`` or ``udp``.
        timeout_s: Live: how long opening, and then each read, may take.
        trust: As for ``options_for``.

    Raises:
        StalledError: Live: it takes a connection, and gave nothing within ``timeout_s``.
        SourceError: It is not there, cannot be read, or its certificate is not trusted.
    """
    if not is_live(source):
        _refuse_what_is_no_file(source)
    trust = trust or Trust()
    how = options_for(source, rtsp_transport, timeout_s, trust)
    try:
        return open_container(
            how.opened, source, format=how.format, options=how.options, timeout=how.timeout
        )
    except StalledError:
        raise
    except SourceError as error:
        if said := trust.trouble(source):
            raise SourceError(f"cannot open {mask(source)}: {said}") from error
        raise


def _refuse_what_is_no_file(source: str) -> None:
    path = Path(source)
    if source.startswith("file:"):
        raise SourceError(f"'{source}' is a URL; write the path alone")
    if not path.exists():
        raise SourceError(f"no such file: '{source}'")
    if path.is_dir():
        raise SourceError(f"'{source}' is a folder; name a video file, a URL or a device")
    if path.stat().st_size == 0:
        raise SourceError(f"'{source}' is empty (0 bytes)")


def open_container(opened: str | TransportStream, source: str, **how: Any) -> InputContainer:
    """Opens it with FFmpeg, and says why where that fails; raises as ``open_source`` does.

    Args:
        opened: What FFmpeg reads.
        source: As it is named to people.
        how: For ``av.open``.
    """
    name = mask(source)
    began = time.monotonic()
    try:
        container: Any = av.open(opened, metadata_errors="replace", **how)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        why = reason(error)
        if device.is_device(source) and (said := device.trouble(source, error)):
            raise SourceError(said) from error
        if isinstance(error, PermissionError):
            raise SourceError(f"'{name}' may not be read: permission denied") from error
        if is_live(source):
            # FFmpeg reports its own interruption as whatever it was doing then
            if (waited := how["timeout"][0]) <= time.monotonic() - began:
                if _takes_connections(source):
                    raise StalledError(
                        f"{name} is connected, but silent for {waited:g} s"
                    ) from error
                why = f"no answer within {waited:g} s"
            raise SourceError(f"cannot open {name}: {why}") from error
        raise SourceError(
            f"'{name}' is not a video that can be read ({why}); is it whole, and a video?"
        ) from error
    return container  # type: ignore[no-any-return]


def _takes_connections(source: str) -> bool:
    """Whether somebody listens at a URL's address: FFmpeg does not say how far it had come."""
    url = urlsplit(source)
    try:
        port = url.port or _PORTS.get(url.scheme)
        if not url.hostname or port is None:
            return False
        socket.create_connection((url.hostname, port), _CONNECTED_S).close()
    except (OSError, ValueError):
        return False
    return True


def video_stream(container: InputContainer, source: str) -> VideoStream:
    """The video in a container: of several the largest that is no cover and no preview.

    Nothing is read of what else there is: of a playlist with several sizes only one is fetched.

    Raises:
        SourceError: There is none, or its pictures are too large.
    """
    name = mask(source)
    if not container.streams.video:
        raise SourceError(f"'{name}' holds no video")
    stream = max(container.streams.video, key=_likelihood)  # the first, if they are alike
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    width, height = stream.codec_context.width, stream.codec_context.height
    unknown = not width or not height  # a live stream may say so with its next key frame only
    if container.format.name == "tty" or (unknown and not is_live(source)):
        raise SourceError(f"'{name}' is not a video that can be read; is it whole, and a video?")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise SourceError(too_large(name, width, height))
    return stream


def _likelihood(stream: VideoStream) -> tuple[bool, bool, int]:
    """How likely a stream is the one that is meant: greater is likelier."""
    size = stream.codec_context.width * stream.codec_context.height
    return not stream.disposition & _STILLS, stream.frames != 1, size


def too_large(name: str, width: int, height: int) -> str:
    """A sentence for pictures of more than ``MAX_PIXELS``."""
    return f"'{name}' is {width}x{height}; the limit is {MAX_PIXELS} pixels"


def has_end(container: InputContainer, source: str) -> bool:
    """Whether a source is a file: on disk, or behind a URL with a length; a camera has none."""
    if not source.startswith("http"):
        return not is_live(source)
    return bool(container.duration) or (container.format.name != "hls" and container.size > 0)


def length_of(container: InputContainer, rate: Fraction) -> tuple[float, float] | None:
    """Where a playlist with an end begins, and where its last frame stands, as its stamps count.

    In seconds. None for all else: FFmpeg says by itself when that was cut off.
    """
    if container.format.name not in IN_PIECES or not container.duration:
        return None
    begin = (container.start_time or 0) / av.time_base
    return begin, begin + container.duration / av.time_base - float(1 / rate)


def promised_s(container: InputContainer, stream: VideoStream) -> float:
    """How long a Matroska's header says that its video is, in seconds; 0 where it does not.

    It has no number of frames. Others' times are measured by FFmpeg, and jump where they jump.
    """
    if not container.format.name.startswith("matroska"):
        return 0.0
    with contextlib.suppress(ValueError):  # by the clock, as writers note it for every stream
        hours, minutes, seconds = map(float, stream.metadata.get("DURATION", "").split(":"))
        return 3600 * hours + 60 * minutes + seconds
    alone = len(container.streams) == 1 and container.duration is not None
    return float(container.duration or 0) / av.time_base if alone else 0.0


def rate_of(stream: VideoStream) -> Fraction:
    """Frames a second, as far as the header can be believed; else 25."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and 0 < rate <= _MAX_RATE:
            return Fraction(rate).limit_denominator(100_000)
    return _FALLBACK_RATE
