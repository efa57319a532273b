"""A camera's MPEG-TS over HTTP, without a length, at its own pace: a process of its own.

``python -m tests.paced_server PORT FILE`` prints ``ready``; to the first who asks, it sends the
file's packets when they are due, prints when it began (seconds since the epoch), and ends.
"""

from __future__ import annotations

import socket
import sys
import time

import av


def main() -> None:
    port, path = int(sys.argv[1]), sys.argv[2]
    with socket.create_server(("127.0.0.1", port)) as server:
        print("ready", flush=True)
        connection, _ = server.accept()
    with connection, connection.makefile("wb", 0) as out, av.open(path) as source:
        connection.recv(4096)
        out.write(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n")
        began = time.time()
        print(began, flush=True)
        options = {"flush_packets": "1", "muxdelay": "0"}
        with av.open(out, "w", format="mpegts", options=options) as target:
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
