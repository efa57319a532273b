"""A camera's HLS over HTTP, in pieces of one second: a process of its own, to be stopped at will.

``python -m tests.hls_server PORT FOLDER PIECES`` prints ``ready`` and serves what lies in the
folder, and besides ``live.m3u8``: the newest four of ``0.ts``, ``1.ts`` …, of which the first
PIECES are there at the start and one more every second.
"""

from __future__ import annotations

import functools
import http.server
import sys
import time

_KEPT = 4


class _Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    pieces = 0
    began = 0.0

    def do_GET(self) -> None:
        if self.path != "/live.m3u8":
            super().do_GET()
            return
        there = self.pieces + int(time.monotonic() - self.began)
        first = max(0, there - _KEPT)
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:1"]
        lines.append(f"#EXT-X-MEDIA-SEQUENCE:{first}")
        for number in range(first, there):
            lines += ["#EXTINF:1.0,", f"{number}.ts"]
        body = "\n".join([*lines, ""]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.apple.mpegurl")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Players come and go."""


def main() -> None:
    port, folder = int(sys.argv[1]), sys.argv[2]
    _Handler.pieces, _Handler.began = int(sys.argv[3]), time.monotonic()
    with _Server(("127.0.0.1", port), functools.partial(_Handler, directory=folder)) as server:
        print("ready", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
