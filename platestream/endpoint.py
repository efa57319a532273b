"""A small HTTP server beside a service: a few paths that are read, nothing that can be changed."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import structlog

from platestream.errors import SettingsError

_MOST_REQUESTS = 8  # answered at the same time; more are hung up on
_REQUEST_S = 5.0  # a client that is slower is hung up on


@dataclass(frozen=True, slots=True)
class Answer:
    """What a path answers."""

    body: bytes
    content_type: str
    status: int = HTTPStatus.OK


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a path.

    Attributes:
        accept: The header ``Accept``; empty if there is none.
        query: What stands behind the path's ``?``, by name; of several of a name the last.
    """

    accept: str = ""
    query: Mapping[str, str] = field(default_factory=dict)


Route = Callable[[Request], Answer]
"""Answers a GET."""


class Endpoint:
    """Serves its routes from a thread of its own until it is closed."""

    def __init__(self, host: str, port: int, routes: Mapping[str, Route]) -> None:
        """Listens at once.

        Raises:
            SettingsError: The port is taken, or the address is none of this machine's.
        """
        try:
            self._server = _Server(host, port, routes)
        except OSError as error:
            raise SettingsError(
                f"cannot listen on {host}:{port}: {error.strerror or error}; "
                "choose another http.port or http.host, or http.port=0 for none"
            ) from error
        self.port = int(self._server.server_address[1])
        thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="http", daemon=True
        )
        thread.start()

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, routes: Mapping[str, Route]) -> None:
        self.routes = routes
        self._room = threading.BoundedSemaphore(_MOST_REQUESTS)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks the name service for the host's full name, which can take long
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread to be had
            self._room.release()
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        structlog.get_logger().debug(f"http: a request of {client_address} failed", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    timeout = _REQUEST_S
    server_version = "platestream"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        assert isinstance(self.server, _Server)
        path, _, query = self.path.partition("?")
        route = self.server.routes.get(path)
        if route is None:
            answer = Answer(b"not here\n", "text/plain", HTTPStatus.NOT_FOUND)
        else:
            answer = route(Request(self.headers.get("Accept", ""), dict(parse_qsl(query))))
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if with_body:
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: a check every few seconds is no news."""
