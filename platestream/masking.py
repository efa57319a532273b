"""Passwords in URLs made unreadable, for everything that is logged or shown."""

from __future__ import annotations

import re

HIDDEN = "***"

# As far as the last @ of a word: a password may itself hold one, or a slash. A URL without a
# password but with an @ in its path loses some of its text; none keeps a secret.
_IN_AUTHORITY = re.compile(r"(://[^\s:/@]*):\S*@")
# redis://host?password=…, and cameras that take rtsp://host/user=…&password=…
_IN_QUERY = re.compile(
    r"(?i)(\b(?:password|passwd|pwd|pass|token|secret|api_?key)=)[^&;\s'\"]+",
)


def mask(text: str) -> str:
    """The text with the passwords of all URLs in it replaced by ``***``; users' names stay."""
    if "://" not in text and "=" not in text:
        return text
    return _IN_QUERY.sub(rf"\1{HIDDEN}", _IN_AUTHORITY.sub(rf"\1:{HIDDEN}@", text))
