"""What a Redis refuses for good: a password, a right, a certificate, an old version."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.exceptions import AuthenticationError, MovedError, NoPermissionError

from platestream.errors import RedisError
from platestream.masking import mask
from platestream.settings import RedisSettings
from platestream.streams.address import Address, PasswordFileError

_SCRIPT_KEY = 3  # EVAL script numkeys key


class OldRedisError(redis.ResponseError):
    """The server is older than what platestream needs."""


class NoClusterError(redis.ResponseError):
    """The server is one by itself, and the settings name a cluster."""


def refusal(error: BaseException, settings: RedisSettings) -> RedisError | None:
    """The sentence for an error that the same again will not mend; None if it may pass.

    Args:
        error: What redis-py raised.
    """
    where = f"Redis at {mask(settings.url)}"
    if isinstance(error, PasswordFileError):
        return RedisError(str(error))
    if isinstance(error, MovedError) and not Address.of(settings).nodes:
        return RedisError(f"{where}: it is one of a cluster's; write redis+cluster://")
    if isinstance(error, OldRedisError | NoClusterError):
        return RedisError(f"{where}: {error}")
    if isinstance(error, AuthenticationError):
        address = Address.of(settings)
        user = address.username or "default"
        if not (address.username or address.password or address.password_file):
            said = "it wants a user and a password"
        else:
            said = f"it does not know user '{user}' with this password ({error})"
        return RedisError(f"{where}: {said}; set redis.username and redis.password_file")
    if isinstance(error, NoPermissionError):
        user = Address.of(settings).username or "default"
        return RedisError(
            f"{where}: user '{user}' may not do {error}; give it that right "
            "(deploy/redis/users.acl), or set redis.username to a user that has it"
        )
    certificate = _tls_error(error)
    if certificate is not None:
        return RedisError(f"{where}: {_tls_sentence(certificate, settings)}")
    return None


def is_unwritable(error: BaseException) -> bool:
    """Whether Redis takes no data because it cannot write its own to its disk (``MISCONF``).

    A pipeline and a script put words before Redis's own; redis-py has no class for it.
    """
    return isinstance(error, redis.ResponseError) and "MISCONF" in str(error)


def away(error: BaseException, settings: RedisSettings) -> str:
    """Why Redis does not serve: it refuses us, cannot write to its disk, or does not answer."""
    refused = refusal(error, settings)
    if refused is not None:
        return str(refused)
    where = f"Redis at {mask(settings.url)}"
    if is_unwritable(error):
        # of snapshots, Redis goes on for several sentences
        own_words = "MISCONF" + str(error).split("MISCONF", 1)[1].split(". ", 1)[0]
        return f"{where} takes no data: it cannot write to its disk; is that full? ({own_words})"
    return f"{where} does not answer"


def unreachable(error: BaseException, settings: RedisSettings) -> RedisError:
    """The sentence for an error of a command that does not wait: a refusal, or Redis is away."""
    refused = refusal(error, settings)
    if refused is not None:
        return refused
    if isinstance(error, redis.ResponseError):
        return wrong_answer(error, settings)
    why = str(error).rstrip(".")
    return RedisError(f"cannot reach Redis at {mask(settings.url)}: {why}; is it running?")


def wrong_answer(error: redis.ResponseError, settings: RedisSettings) -> RedisError:
    """The sentence for an error that Redis answers with, which is none of those refusals."""
    where = f"Redis at {mask(settings.url)}"
    if is_unwritable(error):
        return RedisError(away(error, settings))
    if str(error).startswith("WRONGTYPE"):
        return RedisError(
            f"{where} holds something else under a name that is platestream's ({error}); delete "
            "it, or use another database of that Redis, as redis://host:6379/1"
        )
    return RedisError(f"{where}: {error}")


def name_command(error: NoPermissionError, command: tuple[Any, ...]) -> NoPermissionError:
    """The same error with the command and its first key, which Redis does not say.

    Args:
        command: As handed to redis-py: the command's name with its subcommand, then the rest.
    """
    words = [_text(word) for word in command]
    name = words[0].upper()
    if name in ("XREAD", "XREADGROUP"):
        place = words.index("STREAMS") + 1
    else:
        place = _SCRIPT_KEY if name.startswith("EVAL") else 1
    key = f" on '{words[place]}'" if place < len(words) else ""
    return NoPermissionError(f"{name}{key} ({error})")


def _text(word: Any) -> str:
    text = word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)
    return text if len(text) <= 100 else text[:100] + "…"


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _tls_sentence(error: ssl.SSLError, settings: RedisSettings) -> str:
    host = urlsplit(settings.url).hostname
    if isinstance(error, ssl.SSLCertVerificationError):
        ca = f"'{settings.ca_file}'" if settings.ca_file else "the system's authorities"
        return (
            f"its certificate is not good: {error.verify_message}; redis.ca_file must name the "
            f"authority that signed it (now {ca}), and the certificate must name '{host}'"
        )
    return (
        f"no TLS with it: {error.reason or error}; is it its TLS port, and does it want a "
        "certificate of ours (redis.cert_file, redis.key_file)?"
    )
