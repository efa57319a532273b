"""What commands say: results on stdout, the rest on stderr."""

from __future__ import annotations

import sys
from typing import Any

from platestream.stdout import print_json


def say(text: str) -> None:
    """Prints a line on stderr."""
    print(text, file=sys.stderr)


def report(result: dict[str, Any], as_json: bool) -> None:
    """Prints results for a program, as one JSON object, or for a person."""
    if as_json:
        print_json(result)
        return
    for key, value in result.items():
        if isinstance(value, list):
            print(f"{key}:")
            for row in value:
                print("  " + "  ".join(f"{k}={_said(v)}" for k, v in row.items()))
        else:
            print(f"{key}: {_said(value)}")


def _said(value: Any) -> str:
    """A value as a person reads it; a share with its interval."""
    if not (isinstance(value, dict) and "share" in value):
        return str(value)
    low, high = value["interval_95"]
    share = "none" if value["share"] is None else f"{100 * value['share']:.2f}%"
    return f"{share} ({value['hits']} of {value['of']}; 95% {low:.4f}–{high:.4f})"
