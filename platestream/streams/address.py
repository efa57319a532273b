"""Where Redis is: a server or a cluster, and who asks; read from the settings."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import redis
from redis.credentials import CredentialProvider

from platestream.errors import RedisError
from platestream.masking import mask
from platestream.settings import RedisSettings

_CLUSTER = "+cluster"
_DEFAULT_PORT = 6379
_MOST_PASSWORD_BYTES = 4096


class PasswordFileError(redis.AuthenticationError):
    """There is no password to be had from the file that should hold it."""


@dataclass(frozen=True)
class Address:
    """A Redis, as the settings name it.

    Attributes:
        url: ``redis://``, ``rediss://`` or ``unix://``, without user and password; of a cluster,
            its first node.
        nodes: A cluster's nodes to begin with, as host and port; empty if it is no cluster.
        username: Empty if the settings name none: Redis's ``default``.
        password: Of the URL; empty if there is none, or it comes from ``password_file``.
        tls: What redis-py is told of certificates.
    """

    url: str
    nodes: tuple[tuple[str, int], ...]
    username: str
    password: str
    password_file: Path | None
    tls: dict[str, Any]

    @classmethod
    def of(cls, settings: RedisSettings | str) -> Address:
        """Reads the settings, or a URL alone.

        Raises:
            RedisError: The URL is not one, a file that is named is not there, or the password's
                file may be written by anybody.
        """
        if isinstance(settings, str):
            settings = RedisSettings(url=settings)
        shown = mask(settings.url)
        try:
            parts = urlsplit(settings.url)
        except ValueError as error:
            raise RedisError(f"'{shown}' is not a Redis URL: {error}") from error
        scheme = parts.scheme.removesuffix(_CLUSTER)
        clustered = scheme != parts.scheme
        if scheme not in ("redis", "rediss", "unix") or (clustered and scheme == "unix"):
            raise RedisError(
                f"'{shown}' is not a Redis URL: it begins with redis://, rediss:// (TLS), "
                "unix://, redis+cluster:// or rediss+cluster://"
            )
        login, _, hosts = parts.netloc.rpartition("@")
        user, _, password = login.partition(":")
        nodes: tuple[tuple[str, int], ...] = ()
        if clustered:
            nodes = tuple(_node(text, shown) for text in hosts.split(","))
            hosts = hosts.split(",")[0]
            if parts.path.strip("/") not in ("", "0"):
                raise RedisError(f"'{shown}': a cluster has no database but 0")
        address = cls(
            url=f"{scheme}://{hosts}{parts.path}{'?' if parts.query else ''}{parts.query}",
            nodes=nodes,
            username=settings.username or unquote(user),
            password=unquote(password),
            password_file=settings.password_file,
            tls=_tls(settings, scheme),
        )
        if settings.password_file is not None:
            try:
                address.read_password()
            except PasswordFileError as error:
                raise RedisError(str(error)) from error
        return address

    def read_password(self) -> str:
        """The password as it is now: files are read anew for every connection.

        Raises:
            PasswordFileError: The file is not there, empty, or may be written by anybody.
        """
        path = self.password_file
        if path is None:
            return self.password
        try:
            if stat.S_IMODE(path.stat().st_mode) & stat.S_IWOTH:
                raise PasswordFileError(
                    f"redis.password_file: anybody may write '{path}'; chmod o-w it"
                )
            with path.open("rb") as file:
                raw = file.read(_MOST_PASSWORD_BYTES + 1)
            password = raw.decode().rstrip("\r\n")
        except OSError as error:
            raise PasswordFileError(
                f"redis.password_file: cannot read '{path}': {error.strerror}"
            ) from error
        except UnicodeDecodeError as error:
            raise PasswordFileError(f"redis.password_file: '{path}' is no text") from error
        if not password:
            raise PasswordFileError(f"redis.password_file: '{path}' is empty")
        if len(raw) > _MOST_PASSWORD_BYTES or "\n" in password:
            raise PasswordFileError(
                f"redis.password_file: '{path}' holds more than one line, or a very long one; "
                "it must hold the password and nothing else"
            )
        return password

    def credentials(self) -> CredentialProvider | None:
        """What redis-py asks for user and password; None if there are none."""
        if not (self.username or self.password or self.password_file):
            return None
        return _Credentials(self)


class _Credentials(CredentialProvider):
    """Reads the password for every new connection: one that was changed needs no restart."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        password = self._address.read_password()
        return (self._address.username, password) if self._address.username else (password,)


def _node(text: str, shown: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host:
        raise RedisError(f"'{shown}' is not a Redis URL: '{text}' is not host:port")
    return host, port or _DEFAULT_PORT


def _tls(settings: RedisSettings, scheme: str) -> dict[str, Any]:
    files = {
        "ca_file": settings.ca_file,
        "cert_file": settings.cert_file,
        "key_file": settings.key_file,
    }
    for name, path in files.items():
        if path is None:
            continue
        if scheme != "rediss":
            raise RedisError(
                f"redis.{name} is for TLS, but '{mask(settings.url)}' is not; "
                "write rediss:// (or rediss+cluster://)"
            )
        try:
            path.open("rb").close()
        except OSError as error:
            raise RedisError(f"redis.{name}: cannot read '{path}': {error.strerror}") from error
    if (settings.cert_file is None) != (settings.key_file is None):
        raise RedisError("redis.cert_file and redis.key_file go together")
    if scheme != "rediss":
        return {}
    said = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
    named = {
        "ssl_ca_certs": settings.ca_file,
        "ssl_certfile": settings.cert_file,
        "ssl_keyfile": settings.key_file,
    }
    return said | {name: str(path) for name, path in named.items() if path is not None}
