"""The HTTP server beside a service: its paths and no others; bounded; a taken port is said."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator

import pytest

from platestream import probe
from platestream.endpoint import Answer, Endpoint, Request
from platestream.errors import SettingsError
from tests.conftest import wait_until


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Lets the answers of ``/slow`` go."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def endpoint(gate: threading.Event) -> Iterator[Endpoint]:
    def slow(_request: Request) -> Answer:
        gate.wait(20)
        return Answer(b"slow", "text/plain")

    routes = {"/one": lambda request: Answer(request.accept.encode(), "text/plain"), "/slow": slow}
    with Endpoint("127.0.0.1", 0, routes) as one:
        yield one


def _get(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers={"Accept": "text/one"})
    response = connection.getresponse()
    return response.status, response.read()


def test_its_paths_are_answered_and_no_others(endpoint: Endpoint) -> None:
    assert _get(endpoint.port, "/one?x=1") == (200, b"text/one")
    assert _get(endpoint.port, "/one", "HEAD") == (200, b"")
    assert _get(endpoint.port, "/")[0] == 404
    assert _get(endpoint.port, "/../one")[0] == 404
    assert _get(endpoint.port, "/one", "POST")[0] == 501


def test_a_port_that_is_taken_is_said(endpoint: Endpoint) -> None:
    with pytest.raises(SettingsError, match=rf"127\.0\.0\.1:{endpoint.port}: .*in use.*http\.port"):
        Endpoint("127.0.0.1", endpoint.port, {})


def test_an_address_of_another_machine_is_said() -> None:
    with pytest.raises(SettingsError, match=r"192\.0\.2\.1:9.*http\.host"):
        Endpoint("192.0.2.1", 9, {})


def test_too_many_at_once_are_hung_up_on_and_room_comes_back(
    endpoint: Endpoint, gate: threading.Event
) -> None:
    waiting = []
    for _ in range(8):
        one = socket.create_connection(("127.0.0.1", endpoint.port), timeout=20)
        one.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
        waiting.append(one)

    def refused() -> bool:
        try:
            _get(endpoint.port, "/one")
        except (http.client.HTTPException, OSError):
            return True
        return False

    wait_until(refused, what="a request that is hung up on")
    gate.set()
    assert all(one.recv(100).startswith(b"HTTP/1.0 200") for one in waiting)
    for one in waiting:
        one.close()
    wait_until(lambda: not refused(), what="room for a request")


def test_the_probe_says_what_does_not_answer_as_a_service_does(
    endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{endpoint.port}"
    assert probe.main([f"{url}/one"]) == 1
    assert probe.main([f"{url}/nothing"]) == 1
    assert probe.main(["http://127.0.0.1:1/readyz"]) == 1
    assert probe.main(["file:///etc/hostname"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"{url}/one answers 200, but not as a service of platestream does"
    assert said[1] == f"{url}/nothing answers 404, but not as a service of platestream does"
    assert "does not answer: [Errno 111]" in said[2]
