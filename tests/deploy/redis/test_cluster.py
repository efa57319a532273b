"""Redis Cluster: cameras spread over its nodes, and the whole pipeline of two of them on it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from platestream import messages, streams
from platestream.video import VideoSource
from tests import preloaded
from tests.deploy.redis.conftest import CLIP_FRAMES, SecuredRedis
from tests.deploy.redis.services import run_services
from tests.numbered import number_of

FRAMES = {"gate-1": 30, "gate-2": 40}


def node_of(client: redis.RedisCluster, camera: str) -> str:
    """Where a camera lies: all of its keys must lie there."""
    slots = {client.keyslot(key) for key in streams.camera_keys(camera)}
    assert len(slots) == 1
    node = client.nodes_manager.get_node_from_slot(slots.pop())
    return str(node.name)


def test_cameras_are_spread_over_the_nodes(cluster: SecuredRedis) -> None:
    client = cluster.client("admin")
    assert isinstance(client, redis.RedisCluster)
    cameras = [f"gate-{number}" for number in range(1, 13)]
    nodes = {camera: node_of(client, camera) for camera in cameras}
    assert len(set(nodes.values())) == 3
    assert nodes["gate-1"] != nodes["gate-2"]
    for camera in cameras:
        streams.register_camera(client, camera, source="x")
        streams.publish(client, streams.frames_key(camera), "1-0", {"frame_id": "1"})
    for node in client.get_primaries():
        held = client.keys("frames:*", target_nodes=node)
        there = {key.decode()[len("frames:{") : -1] for key in held}
        assert there == {camera for camera in cameras if nodes[camera] == node.name}


@pytest.mark.soak
@pytest.mark.usefixtures("blind_ocr")
def test_two_cameras_run_on_it(
    cluster: SecuredRedis, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    def serve(camera: str) -> Path:
        source = make_video(tmp_path / f"{camera}-in.mp4", frames=FRAMES[camera])
        out = tmp_path / f"{camera}.mp4"
        run_services(cluster, source, out, camera=camera)
        return out

    with ThreadPoolExecutor(2) as pool:
        outs = dict(zip(FRAMES, pool.map(serve, FRAMES), strict=True))
    client = cluster.client("monitor")
    for camera, frames in FRAMES.items():
        with VideoSource(str(outs[camera])) as video:
            assert [number_of(f.image) for f in video.frames()] == list(range(frames))
        lines = outs[camera].with_suffix(".readings.jsonl").read_text().splitlines()
        assert [json.loads(line)["frame_id"] for line in lines] == list(range(1, frames + 1))
        read = [
            messages.parse_reading(fields).frame_id
            for _, fields in client.xrange(streams.readings_key(camera))
        ]
        assert sorted(read) == list(range(1, frames + 1))
    seen = preloaded.run(
        [sys.executable, "-m", "platestream", "status", "--json"],
        env=cluster.environment("monitor"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert seen.returncode == 0, seen.stderr
    cameras = {c["camera"]: c for c in map(json.loads, seen.stdout.splitlines())}
    assert {name: c["counts"]["frames_written"] for name, c in cameras.items()} == FRAMES
    assert cluster.refused() == []


@pytest.mark.soak
def test_run_on_it(cluster: SecuredRedis, short_clip: Path, tmp_path: Path) -> None:
    for turn in range(2):
        command = [sys.executable, "-m", "platestream", "run"]
        command += [str(short_clip), "--output", f"{turn}.mp4", "--camera", "gate-1", "--json"]
        done = preloaded.run(
            command,
            env=cluster.environment("run"),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=110,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["frames_written"] == CLIP_FRAMES
    assert cluster.refused() == []


def test_a_cluster_that_is_away_is_waited_for() -> None:
    client = streams.connect("redis+cluster://127.0.0.1:9", timeout_s=1)
    for _ in range(2):  # made in vain, it is made anew
        with pytest.raises(streams.OUTAGE):
            client.xlen("frames:{gate-1}")


def test_a_cluster_named_as_a_server_is_said(cluster: SecuredRedis) -> None:
    url = cluster.url.replace("redis+cluster://", "redis://").partition(",")[0]
    settings = cluster.settings("admin").model_copy(update={"url": url})
    whole = cluster.client("admin")
    assert isinstance(whole, redis.RedisCluster)
    port = int(url.rpartition(":")[2])
    elsewhere = next(
        key
        for key in (streams.frames_key(f"gate-{number}") for number in range(100))
        if whole.get_node_from_key(key).port != port
    )
    with pytest.raises(streams.FAILURE) as caught:
        streams.connect(settings).xlen(elsewhere)
    assert "write redis+cluster://" in str(streams.refusal(caught.value, settings))


def test_a_server_that_is_no_cluster_is_said(start: Callable[..., SecuredRedis]) -> None:
    server = start("system")
    url = server.url.replace("redis://", "redis+cluster://")
    settings = server.settings("monitor").model_copy(update={"url": url})
    with pytest.raises(streams.FAILURE) as caught:
        streams.connect(settings).ping()
    said = str(streams.refusal(caught.value, settings))
    assert "it is no cluster; write redis://" in said
