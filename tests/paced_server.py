"""A camera's MPEG-TS at its own pace, over HTTP without a length, or UDP: a process of its own.

``python -m tests.paced_server PORT FILE`` prints ``ready``; to the first who asks, it sends the
file's packets when they are due, prints when it began (seconds since the epoch), and ends.
``python -m tests.paced_server udp://… FILE`` sends them to there, whoever listens.
"""

from __future__ import annotations

import socket
import sys
import time
from typing import Any

import av


def main() -> None:
    where, path = sys.argv[1:]
    if where.startswith("udp:"):
        _send(where, path)
        return
    with socket.create_server(("127.0.0.1", int(where))) as server:
        print("ready", flush=True)
        connection, _ = server.accept()
    with connection, connection.makefile("wb", 0) as out:
        connection.recv(4096)
        out.write(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n")
        _send(out, path)


def _send(to: Any, path: str) -> None:
    began = time.time()
    print(began, flush=True)
    options = {"flush_packets": "1", "muxdelay": "0"}
    with av.open(path) as source, av.open(to, "w", format="mpegts", options=options) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        first: float | None = None
        for packet in source.demux(video=0):
            if packet.pts is None or packet.time_base is None:
                continue
            at = float(packet.pts * packet.time_base)
            first = at if first is None else first
            time.sleep(max(0.0, began + at - first - time.time()))  # that is its pace
            packet.stream = stream
            target.mux(packet)


if __name__ == "__main__":
    main()
