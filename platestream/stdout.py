"""What commands print on stdout: lines for people, and JSON objects, one a line."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from typing import Any


def print_json(value: dict[str, Any]) -> None:
    """Prints an object as one line of JSON, in characters that stdout can take.

    What the encoding of stdout does not have, and bytes of file names that are no text, are
    written as JSON's ``\\u`` escapes; values that JSON does not know (dates, paths) as text.

    Raises:
        ValueError: A number is not finite: JSON has no word for it.
    """
    text = json.dumps(value, ensure_ascii=False, default=str, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, default=str, allow_nan=False)
    print(text, flush=True)


def printable(text: object) -> str:
    """One line without control characters: a file's name may hold line feeds and escapes."""
    return "".join(c if c.isprintable() or c == " " else ascii(c)[1:-1] for c in str(text))


def prepare() -> None:
    """Makes stdout and stderr fit for what commands print.

    Where one was closed by who started the command, what is printed there goes nowhere (print
    would put the one's into the other); characters that stdout's encoding does not have are
    escaped, instead of failing.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (until the process ends)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        with contextlib.suppress(ValueError):
            sys.stdout.reconfigure(errors="backslashreplace")
