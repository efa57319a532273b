"""``python -m platestream.probe URL``: asks a service for its health; a container's health check.

It imports nothing that is slow: a check every few seconds must cost next to nothing.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence

_TIMEOUT_S = 5.0
_MOST_BYTES = 65536


def probe(url: str) -> tuple[bool, str]:
    """Asks ``/healthz`` or ``/readyz``; returns whether all is well, and a sentence."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=_TIMEOUT_S) as response:
            status, body = response.status, response.read(_MOST_BYTES)
    except urllib.error.HTTPError as error:
        status, body = error.code, error.read(_MOST_BYTES)
    except (OSError, ValueError) as error:
        return False, f"{url} does not answer: {getattr(error, 'reason', error)}"
    try:
        said = json.loads(body)
        who, reasons = f"{said['service']} of {said['camera']}", [str(r) for r in said["reasons"]]
    except (ValueError, KeyError, TypeError):
        return False, f"{url} answers {status}, but not as a service of platestream does"
    well = status == 200
    because = f": {'; '.join(reasons)}" if reasons else ""
    return well, f"{who} is {'well' if well else 'not well'}{because}"


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the sentence; returns 0 if all is well, else 1 (2: not called as it should be)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if len(arguments) != 1:
        print("usage: python -m platestream.probe http://HOST:PORT/readyz", file=sys.stderr)
        return 2
    if not arguments[0].startswith(("http://", "https://")):
        print(f"error: '{arguments[0]}' is not like http://HOST:PORT/readyz", file=sys.stderr)
        return 2
    well, sentence = probe(arguments[0])
    print(sentence, file=sys.stdout if well else sys.stderr)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
