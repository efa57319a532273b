"""A Redis too old to be used, as far as a client sees before it turns away.

``python tests/old_redis.py VERSION PORT`` serves on all addresses, until it is killed.
"""

from __future__ import annotations

import socket
import sys
import threading


class OldRedis(threading.Thread):
    """A server that says what a Redis of some version says when it is greeted."""

    def __init__(self, version: str, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(daemon=True)
        self._version = version
        self._knows_hello = version >= "6"
        self._listener = socket.create_server((host, port))
        self.port = self._listener.getsockname()[1]

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def stop(self) -> None:
        self._listener.close()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as stream:
            while line := stream.readline():
                words = []
                for _ in range(int(line[1:])):
                    size = int(stream.readline()[1:])
                    words.append(stream.read(size + 2)[:-2].decode())
                stream.write(self._answer(words))
                stream.flush()

    def _answer(self, words: list[str]) -> bytes:
        name = words[0].upper()
        if name == "HELLO" and self._knows_hello:
            version = self._version.encode()
            return b"%%2\r\n$5\r\nproto\r\n:3\r\n$7\r\nversion\r\n$%d\r\n%s\r\n" % (
                len(version),
                version,
            )
        if name == "INFO":
            said = f"# Server\r\nredis_version:{self._version}\r\nrun_id:1\r\n".encode()
            return b"$%d\r\n%s\r\n" % (len(said), said)
        if name == "PING":
            return b"+PONG\r\n"
        said = ", ".join(f"`{word}`" for word in words[1:])
        return f"-ERR unknown command `{words[0]}`, with args beginning with: {said}\r\n".encode()


if __name__ == "__main__":
    OldRedis(sys.argv[1], "0.0.0.0", int(sys.argv[2])).run()
