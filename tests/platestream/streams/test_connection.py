"""Settings of Redis: URLs, passwords from files, versions; what is wrong is said in a sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from platestream import streams
from platestream.errors import RedisError
from platestream.settings import RedisSettings, load
from platestream.streams.address import Address
from tests import preloaded
from tests.old_redis import OldRedis


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


@pytest.fixture(params=["5.0.14", "6.0.9"])
def old_redis(request: pytest.FixtureRequest) -> Iterator[tuple[str, OldRedis]]:
    server = OldRedis(request.param)
    server.start()
    yield request.param, server
    server.stop()


def test_an_old_redis_is_refused_with_both_versions(old_redis: tuple[str, OldRedis]) -> None:
    version, server = old_redis
    url = f"redis://127.0.0.1:{server.port}/0"
    done = preloaded.run(
        [sys.executable, "-m", "services.track", "--redis", url, "--set", "log.format=json"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert f"Redis at {url}: it is Redis {version}; platestream needs 6.2 or newer" in done.stderr
    assert "unexpected" not in done.stderr
