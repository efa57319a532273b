"""Settings of Redis: URLs, passwords from files, versions; what is wrong is said in a sentence."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from platestream import streams
from platestream.errors import RedisError
from platestream.settings import RedisSettings, load
from platestream.streams.address import Address


@pytest.mark.parametrize(
    ("url", "nodes", "username", "password"),
    [
        ("redis://host:1/2", (), "", ""),
        ("redis://u%40b:p%2Fw@host:1", (), "u@b", "p/w"),
        ("rediss://:p@host", (), "", "p"),
        ("unix:///tmp/redis.sock?db=1", (), "", ""),
        ("redis+cluster://a:1,[::1]:2,c", (("a", 1), ("::1", 2), ("c", 6379)), "", ""),
        ("rediss+cluster://u:p@a", (("a", 6379),), "u", "p"),
    ],
)
def test_urls(url: str, nodes: tuple[object, ...], username: str, password: str) -> None:
    address = Address.of(url)
    assert (address.nodes, address.username, address.password) == (nodes, username, password)
    assert "@" not in address.url
    assert url.split("://")[0].removesuffix("+cluster") == address.url.split("://")[0]


@pytest.mark.parametrize(
    "url",
    [
        "http://host",
        "host:6379",
        "unix+cluster:///tmp/x",
        "redis+cluster://",
        "redis+cluster://a:b",
        "redis+cluster://a:1/3",
        "redis://[::1",
        "redis://host:port",
    ],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(RedisError, match=r"Redis URL|no database but 0"):
        streams.connect(url)


def test_a_password_never_shows() -> None:
    with pytest.raises(RedisError) as caught:
        streams.connect("http://user:very-secret@host")
    assert "very-secret" not in str(caught.value)


def test_the_password_comes_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("of the file\r\n")
    address = Address.of(
        RedisSettings(url="redis://u:of-the-url@host", username="me", password_file=file)
    )
    provider = address.credentials()
    assert provider is not None
    assert provider.get_credentials() == ("me", "of the file")
    file.write_text("another")
    assert provider.get_credentials() == ("me", "another")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda file: None, "cannot read '{file}': No such file"),
        (lambda file: file.mkdir(), "cannot read '{file}': Is a directory"),
        (lambda file: file.write_text("\n"), "'{file}' is empty"),
        (lambda file: file.write_text("a\nb\n"), "more than one line"),
        (lambda file: file.write_bytes(b"\xff\xfe"), "is no text"),
        (lambda file: (file.write_text("x"), file.chmod(0o666)), "anybody may write '{file}'"),
    ],
)
def test_a_file_without_a_password_is_refused(
    tmp_path: Path, make: Callable[[Path], object], sentence: str
) -> None:
    file = tmp_path / "password"
    make(file)
    with pytest.raises(RedisError) as caught:
        streams.connect(RedisSettings(password_file=file))
    assert "redis.password_file" in str(caught.value)
    assert sentence.format(file=file) in str(caught.value)


def test_the_environment_can_take_a_file_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATESTREAM_REDIS__PASSWORD_FILE", "")
    assert load().redis.password_file is None


class OldRedis(threading.Thread):
    """A server that says what a Redis of some version says when it is greeted."""

    def __init__(self, version: str, *, knows_hello: bool) -> None:
        super().__init__(daemon=True)
        self._version = version
        self._knows_hello = knows_hello
        self._listener = socket.create_server(("127.0.0.1", 0))
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
            return b"%2\r\n$5\r\nproto\r\n:3\r\n$7\r\nversion\r\n$5\r\n6.0.9\r\n"
        if name == "INFO":
            said = f"# Server\r\nredis_version:{self._version}\r\nrun_id:1\r\n".encode()
            return b"$%d\r\n%s\r\n" % (len(said), said)
        if name == "PING":
            return b"+PONG\r\n"
        said = ", ".join(f"`{word}`" for word in words[1:])
        return f"-ERR unknown command `{words[0]}`, with args beginning with: {said}\r\n".encode()


@pytest.fixture(params=[("5.0.14", False), ("6.0.9", True)])
def old_redis(request: pytest.FixtureRequest) -> Iterator[tuple[str, OldRedis]]:
    version, knows_hello = request.param
    server = OldRedis(version, knows_hello=knows_hello)
    server.start()
    yield version, server
    server.stop()


def test_an_old_redis_is_refused_with_both_versions(old_redis: tuple[str, OldRedis]) -> None:
    version, server = old_redis
    url = f"redis://127.0.0.1:{server.port}/0"
    done = subprocess.run(
        [sys.executable, "-m", "services.track", "--redis", url, "--set", "log.format=json"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert f"Redis at {url}: it is Redis {version}; platestream needs 6.2 or newer" in done.stderr
    assert "unexpected" not in done.stderr
