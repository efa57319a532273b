"""Rights of Redis's users: every command on the keys that it is for, and on no other."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

import pytest
import redis

from platestream import streams
from tests.deploy.redis.conftest import SERVICES, USERS, SecuredRedis
from tests.deploy.redis.services import CAMERA
from tests.docs.test_redis_cli import EXAMPLES, PAGE


def test_what_a_user_must_not_do(start: Callable[..., SecuredRedis]) -> None:
    server = start("system")
    body = {"body": b"x"}
    for key in ("frames", "readings", "rendered", "passages", "dead"):
        server.client("admin").xadd(f"{key}:{{{CAMERA}}}", body)
    forbidden: list[tuple[str, tuple[str, ...]]] = [
        ("capture", ("XRANGE", streams.readings_key(CAMERA), "-", "+")),
        ("capture", ("XREVRANGE", streams.readings_key(CAMERA), "+", "-")),
        ("capture", ("XREAD", "STREAMS", streams.passages_key(CAMERA), "0")),
        ("ocr", ("XADD", streams.rendered_key(CAMERA), "*", "body", "x")),
        ("ocr", ("XREADGROUP", "GROUP", "g", "c", "STREAMS", streams.rendered_key(CAMERA), ">")),
        ("ocr", ("XADD", streams.tracks_key(CAMERA), "*", "body", "x")),
        ("track", ("XADD", streams.rendered_key(CAMERA), "*", "body", "x")),
        ("track", ("HSET", streams.camera_key(CAMERA), "source", "x")),
        ("visualize", ("XADD", streams.readings_key(CAMERA), "*", "body", "x")),
        ("writer", ("XADD", streams.rendered_key(CAMERA), "*", "body", "x")),
        ("writer", ("XADD", streams.frames_key(CAMERA), "*", "body", "x")),
        ("monitor", ("XADD", streams.frames_key(CAMERA), "*", "body", "x")),
        ("monitor", ("SET", "alive:x", "1")),
        ("monitor", ("DEL", streams.frames_key(CAMERA))),
        ("run", ("SET", streams.frames_key(CAMERA), "1")),
        ("monitor", ("EVAL", "return redis.call('DEL', KEYS[1])", "1", "cameras")),
    ]
    forbidden += [
        (user, words)
        for user in USERS
        if user != "admin"
        for words in (
            ("FLUSHALL",),
            ("FLUSHDB",),
            ("CONFIG", "GET", "*"),
            ("CONFIG", "SET", "maxmemory", "1"),
            ("ACL", "LIST"),
            ("ACL", "SETUSER", "me", "on", "+@all"),
            ("SHUTDOWN", "NOSAVE"),
            ("KEYS", "*"),
            ("CLIENT", "LIST"),
            ("REPLICAOF", "NO", "ONE"),
            ("SCRIPT", "FLUSH"),
            ("SUBSCRIBE", "x"),
            ("GET", "some:key"),
            ("XADD", "some:key", "*", "a", "b"),
        )
    ]
    for user, words in forbidden:
        client = server.client(user)
        with pytest.raises(redis.exceptions.NoPermissionError, match=words[0]):
            client.execute_command(*words)  # whoever may do this: user and words
    for user in USERS:
        for words in (("DEBUG", "SLEEP", "0"), ("SHUTDOWN", "NOSAVE"), ("MODULE", "LIST")):
            said = server.client("admin").execute_command("ACL DRYRUN", user, *words)
            assert (said == b"OK") == (user == "admin"), (user, words)
    anybody = streams.connect(server.url)
    with pytest.raises(redis.AuthenticationError):
        anybody.ping()
    assert server.client("admin").config_get("maxmemory-policy") == {
        "maxmemory-policy": "noeviction"
    }


KEYS = {
    **{key.partition(":")[0]: key for key in streams.camera_keys(CAMERA)},
    "alive": f"alive:{{{CAMERA}}}:x:host:1",
    "tally": f"tally:{{{CAMERA}}}:x",
    "fence": f"fence:{{{CAMERA}}}:x:host:1:a",
    "run": f"run:{{{CAMERA}}}",
    "cameras": "cameras",
    "replicas": "replicas:ocr",
    "other": "some:key",
}
"""A key of each kind."""

OWNED = ("track", "visualize", "writer")
"""Of which a camera has one each."""

MAY = {
    "SET {key} 1": dict.fromkeys(SERVICES, "alive tally"),
    "DEL {key}": {
        "capture": "alive frames rendered", "ocr": "alive", "track": "alive fence",
        "visualize": "alive fence", "writer": "alive fence",
    },
    "XADD {key} * a b": {
        "capture": "frames", "ocr": "readings dead", "track": "tracks passages",
        "visualize": "rendered",
    },
    "XTRIM {key} MAXLEN 0": {
        "capture": "frames rendered", "ocr": "dead readings", "track": "tracks passages",
        "visualize": "rendered",
    },
    "XDEL {key} 1-0": {"ocr": "retry"},
    "XRANGE {key} - +": {
        "capture": "frames", "ocr": "frames retry readings", "visualize": "rendered",
    },
    "XREVRANGE {key} + -": {
        "capture": "frames", "ocr": "tracks", "track": "tracks passages",
        "visualize": "rendered readings tracks",
    },
    "XREAD STREAMS {key} 0": {"visualize": "readings tracks"},
    "XREADGROUP GROUP g c STREAMS {key} >": {
        "ocr": "frames retry", "track": "readings fence", "visualize": "frames fence",
        "writer": "rendered fence",
    },
    "XACK {key} g 1-0": {
        "ocr": "frames retry", "track": "readings fence", "visualize": "frames fence",
        "writer": "rendered fence",
    },
    "XAUTOCLAIM {key} g c 0 0": {"ocr": "frames retry"},
    "XGROUP SETID {key} g 0": {"ocr": "frames retry"},
    "XGROUP DESTROY {key} g": dict.fromkeys(OWNED, "fence"),
    "XGROUP DELCONSUMER {key} g c": {"ocr": "frames retry"},
    "HSET {key} a b": {
        "capture": "camera", "ocr": "replicas", "track": "tracker owners",
        "visualize": "owners", "writer": "recording owners",
    },
    "HDEL {key} a": {"capture": "camera", "ocr": "replicas", "track": "tracker"},
    "HINCRBY {key} a 1": dict.fromkeys(SERVICES, "counts"),
    "HGETALL {key}": {
        "capture": "camera recording", "ocr": "camera replicas", "track": "camera tracker",
        "visualize": "camera", "writer": "camera recording",
    },
    "SADD {key} a": {"capture": "cameras"},
    "SREM {key} a": {"capture": "cameras"},
    "SMEMBERS {key}": {"ocr": "cameras"},
    "GET {key}": dict.fromkeys(SERVICES, "tally"),
    "EXPIRE {key} 1": {},
    "RENAME {key} {key}": {},
}  # fmt: skip
"""Which service may do a command on which kinds of keys; on others it may not."""


def test_services_may_do_this_and_no_more(start: Callable[..., SecuredRedis]) -> None:
    admin = start("system").client("admin")
    for command, may in MAY.items():
        found = {
            service: {
                kind
                for kind, key in KEYS.items()
                if admin.execute_command(
                    "ACL DRYRUN", service, *(word.format(key=key) for word in command.split())
                ) == b"OK"
            }
            for service in SERVICES
        }  # fmt: skip
        assert found == {name: set(may.get(name, "").split()) for name in SERVICES}, command


def test_monitor_may_run_every_command_that_pages_have_for_redis_cli(
    start: Callable[..., SecuredRedis],
) -> None:
    admin = start("system").client("admin")
    for example in EXAMPLES:
        words = [w for w in shlex.split(example.command.split(" | ")[0])[1:] if w[:2] != "--"]
        if "--scan" in example.command:
            words = ["SCAN", "0"]
        assert admin.execute_command("ACL DRYRUN", "monitor", *words) == b"OK", example.command
    mentioned = re.findall("`redis-cli (.+?)`", (PAGE.parent / "operations.md").read_text())
    assert "CLUSTER KEYSLOT 'frames:{gate-1}'" in mentioned
    for command in mentioned:
        said = admin.execute_command("ACL DRYRUN", "monitor", *shlex.split(command))
        assert said == b"OK", command
