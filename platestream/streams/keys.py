"""Names: keys of a camera, consumer groups, entry ids."""

from __future__ import annotations

OCR = "ocr"
VISUALIZE = "visualize"
WRITER = "writer"
TRACK = "track"

CAMERAS_KEY = "cameras"
REPLICAS_KEY = "replicas:ocr"
"""The hash of the OCR replicas that live: when each was last heard of, and its slowest batch."""


def frames_key(camera: str) -> str:
    """The stream of a camera's frames; the braces keep a camera in one cluster slot."""
    return f"frames:{{{camera}}}"


def readings_key(camera: str) -> str:
    """The stream of a camera's readings."""
    return f"readings:{{{camera}}}"


def tracks_key(camera: str) -> str:
    """The stream of a camera's tracks after every reading."""
    return f"tracks:{{{camera}}}"


def passages_key(camera: str) -> str:
    """The stream of a camera's passages: plates that have gone."""
    return f"passages:{{{camera}}}"


def tracker_key(camera: str) -> str:
    """The hash in which the tracker keeps what it knows, for the next tracker."""
    return f"tracker:{{{camera}}}"


def rendered_key(camera: str) -> str:
    """The stream of a camera's frames with their overlays drawn."""
    return f"rendered:{{{camera}}}"


def dead_key(camera: str) -> str:
    """The stream of frames that no replica could read, with the error of each."""
    return f"dead:{{{camera}}}"


def retry_key(camera: str) -> str:
    """The stream of dead frames that OCR is to try again."""
    return f"retry:{{{camera}}}"


def camera_key(camera: str) -> str:
    """The hash of what is known of a camera: source, mode, size, rate, last frame id, …"""
    return f"camera:{{{camera}}}"


def counts_key(camera: str) -> str:
    """The hash of a camera's counters: frames in, skipped and why, dead, written, …"""
    return f"counts:{{{camera}}}"


def tally_key(camera: str, process: str) -> str:
    """How many times a process has added to a camera's counters; expires."""
    return f"tally:{{{camera}}}:{process}"


def recording_key(camera: str) -> str:
    """The hash in which the writer keeps what it is writing, for the next writer."""
    return f"recording:{{{camera}}}"


def owners_key(camera: str) -> str:
    """The hash of who serves a camera: by service since when, ms since the epoch, and its name."""
    return f"owners:{{{camera}}}"


def fence_key(camera: str, service: str, owner: str) -> str:
    """The stream without entries that is there as long as a process is a service's owner."""
    return f"fence:{{{camera}}}:{service}:{owner}"


def alive_key(service: str, camera: str | None, process: str) -> str:
    """The key that says that a process is alive; it expires when the process is gone.

    Args:
        camera: Whose service it is; None for one of a pool, which keeps no camera in use.
        process: Its host and number, as ``host:1234``.
    """
    whose = "" if camera is None else f"{{{camera}}}:"
    return f"alive:{whose}{service}:{process}"


def run_key(camera: str) -> str:
    """The name of the ``platestream run`` that has a camera's name; expires."""
    return f"run:{{{camera}}}"


def camera_keys(camera: str) -> list[str]:
    """All keys of a camera."""
    makers = (
        frames_key,
        readings_key,
        tracks_key,
        passages_key,
        tracker_key,
        rendered_key,
        dead_key,
        retry_key,
        camera_key,
        counts_key,
        recording_key,
        owners_key,
    )
    return [make(camera) for make in makers]


def entry_id(frame_id: int) -> str:
    """The entry id of a frame in ``frames`` and ``rendered``."""
    return f"{frame_id}-0"


def end_id(last_frame_id: int) -> str:
    """The entry id of the end of a recording in ``frames`` and ``rendered``."""
    return f"{last_frame_id}-1"


def frame_id_of(stream_id: str | bytes) -> int:
    """The frame id of an entry id of ``frames`` or ``rendered``."""
    text = stream_id.decode() if isinstance(stream_id, bytes) else stream_id
    return int(text.split("-", 1)[0])
