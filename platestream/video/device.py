"""Cameras of this machine (V4L2): how they are named, and what is wrong where one does not open."""

from __future__ import annotations

import errno
import re
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from platestream.errors import SourceError

FORMAT = "v4l2"  # FFmpeg's name
# what may be asked for behind a "?": FFmpeg's option, and what it looks like
_WISHES = {
    "size": ("video_size", r"[1-9]\d{1,4}x[1-9]\d{1,4}"),
    "fps": ("framerate", r"[1-9]\d{0,2}(\.\d+|/[1-9]\d{0,3})?"),
    "format": ("input_format", r"[a-z0-9_]{1,16}"),
}
_FOLDER = Path("/dev")


def is_device(source: str) -> bool:
    """Whether a source is a device, such as ``/dev/video0``; what lies in /dev/shm are files."""
    return source.startswith("/dev/") and not source.startswith("/dev/shm/")


def path_of(source: str) -> str:
    """``/dev/video0`` of ``/dev/video0?size=1280x720``."""
    return source.partition("?")[0]


def options_of(source: str) -> dict[str, str]:
    """What a device is asked for, as FFmpeg's options; without that, it is as it was last set.

    Raises:
        SourceError: It is asked for something that there is not.
    """
    options = {}
    for name, value in parse_qsl(urlsplit(source).query, keep_blank_values=True):
        option, form = _WISHES.get(name, ("", ""))
        if not option:
            raise SourceError(f"'{source}': no '{name}'; a device has {', '.join(_WISHES)}")
        if not re.fullmatch(form, value):
            raise SourceError(
                f"'{source}': {name}={value} cannot be; write size=1280x720, fps=30, format=mjpeg"
            )
        options[option] = value
    return options


def trouble(source: str, error: BaseException) -> str | None:
    """A sentence for a device that does not open, and what to do; None where there is none."""
    path = path_of(source)
    number = getattr(error, "errno", None)
    if number == errno.ENOENT:
        return f"there is no device {path}; {_others()}"
    if number in (errno.EACCES, errno.EPERM):
        return (
            f"{path} may not be opened: permission denied; its group (often 'video') may: add "
            "the user to it, in a container with --group-add"
        )
    if number == errno.EBUSY:
        return f"{path} is in use by another program; only one can have a camera's pictures"
    if number in (errno.ENODEV, errno.ENXIO):
        return f"{path} has no device behind it; is it plugged in?"
    if number in (errno.ENOTTY, errno.EISDIR, errno.ENOTDIR):
        return f"{path} is no camera (V4L2); {_others()}"
    if number == errno.EINVAL and (wishes := options_of(source)):
        return (
            f"{path} does not offer {', '.join(wishes.values())}; "
            f"v4l2-ctl --device {path} --list-formats-ext says what it does"
        )
    return None


def _others() -> str:
    there = sorted(str(path) for path in _FOLDER.glob("video*"))
    if there:
        return f"there are {', '.join(there)}"
    return "there is no camera at all; is it plugged in, and given to the container (--device)?"
