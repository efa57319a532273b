"""FFmpeg's errors in a few words."""

from __future__ import annotations


def reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return str(text)[:200].lower()
