"""What FFmpeg is told of a source before it opens it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from platestream.video import device
from platestream.video.trust import Trust

_UDP_BUFFER = 4 * 2**20  # bytes in the kernel: a large picture comes as one burst
# Nothing that reads this machine's files is among them, whatever a playlist or a redirect asks
_WEB: tuple[str, ...] = ("http", "https", "httpproxy", "tcp", "tls", "crypto", "data")
_NETWORK: tuple[str, ...] = (*_WEB, "udp", "rtp", "srtp", "ffrtmphttp", "ffrtmpcrypt")
BETWEEN_PIECES = 3  # times timeout_s: a piece of a playlist may be as long as that


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a source is to be opened.

    Attributes:
        opened: What FFmpeg opens.
        format: FFmpeg's name for what it is; None: FFmpeg finds out.
        options: Names and values, for FFmpeg.
        timeout: Live: how long opening, and then each read, may take, in seconds.
    """

    opened: str
    format: str | None
    options: dict[str, str]
    timeout: tuple[float, float] | None


def is_live(source: str) -> bool:
    """Whether a source delivers at its own pace: a URL or a device, not a file or a folder."""
    return ("://" in source and not source.startswith("file:")) or device.is_device(source)


def check_source(source: str) -> None:
    """Refuses what no try will open.

    Raises:
        SourceError: A device is asked for something that there is not.
    """
    if device.is_device(source):
        device.options_of(source)


def options_for(
    source: str, rtsp_transport: str, timeout_s: float, trust: Trust | None = None
) -> SourceOptions:
    """How to open a file, a URL or a device.

    Args:
        rtsp_transport: ``tcp`` or ``udp``.
        timeout_s: Live: how long nothing may come.
        trust: Which certificates are good; by itself: those of the system's authorities.

    Raises:
        SourceError: A device is asked for something that there is not.
    """
    if not is_live(source):
        # a playlist in disguise must not fetch anything
        return SourceOptions(source, None, {"protocol_whitelist": "file"}, None)
    timeout = (timeout_s, timeout_s)
    if device.is_device(source):
        return SourceOptions(
            device.path_of(source), device.FORMAT, device.options_of(source), timeout
        )
    scheme = urlsplit(source).scheme.lower()
    allowed = _WEB if scheme in _WEB else (scheme, *_NETWORK)
    trust = trust or Trust()
    if scheme == "https" and trust.verify:  # a redirect must not lead past the check
        allowed = tuple(name for name in allowed if name != "http")
    options = {"protocol_whitelist": ",".join(allowed)} | trust.options(scheme)
    if scheme.startswith("rtsp"):
        options |= {"rtsp_transport": rtsp_transport, "buffer_size": str(_UDP_BUFFER)}
    elif scheme == "udp":
        # lost packets are seen by the decoder; go on
        options |= {"buffer_size": str(_UDP_BUFFER), "overrun_nonfatal": "1"}
    elif scheme in ("http", "https"):
        # of a playlist one read may wait for its next piece: a connection has its own limit
        options |= {"rw_timeout": str(round(1e6 * timeout_s)), "live_start_index": "-1"}
        timeout = (timeout_s, BETWEEN_PIECES * timeout_s)
    return SourceOptions(source, None, options, timeout)
