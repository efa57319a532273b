"""``platestream dead``: what it lists, does, refuses."""

from __future__ import annotations

import json

import pytest

from platestream import cli, options, streams
from platestream.embedded_redis import EmbeddedRedis
from tests.conftest import wait_until


@pytest.fixture
def dead(server: EmbeddedRedis) -> EmbeddedRedis:
    """Two dead frames of gate-1, one of gate-2."""
    client = streams.connect(server.url)
    for camera, frame_ids in (("gate-1", (3, 4)), ("gate-2", (9,))):
        streams.register_camera(client, camera, mode="file")
        key = streams.frames_key(camera)
        consumer = streams.GroupConsumer(client, key, streams.OCR, "a")
        consumer.join()
        for frame_id in frame_ids:
            fields: dict[str, str | bytes] = {"frame_id": str(frame_id)}
            streams.publish(client, key, streams.entry_id(frame_id), fields)
            (delivery,) = consumer.read(1, None)
            streams.publish_dead(
                client, camera, delivery, f"no [picture] {frame_id}", most_bytes=2**20
            )
        at = client.time()
        wait_until(lambda at=at: client.time() >= _later(at), 5, "another millisecond")  # type: ignore[misc]
    return server


def _later(at: tuple[int, int]) -> tuple[int, int]:
    """Two milliseconds later: ids of entries are times, and must differ here."""
    return (at[0], at[1] + 2000) if at[1] < 998_000 else (at[0] + 1, 0)


def dead_command(server: EmbeddedRedis, *words: str) -> int:
    return options.invoke_app(cli.app, "platestream", ["dead", *words, "--redis", server.url])


def listed(
    server: EmbeddedRedis, capsys: pytest.CaptureFixture[str], *words: str
) -> list[dict[str, object]]:
    capsys.readouterr()
    assert dead_command(server, "list", "--json", *words) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_they_are_listed(dead: EmbeddedRedis, capsys: pytest.CaptureFixture[str]) -> None:
    rows = listed(dead, capsys)
    assert [(r["camera"], r["frame_id"], r["error"], r["deliveries"]) for r in rows] == [
        ("gate-1", 3, "no [picture] 3", 1),
        ("gate-1", 4, "no [picture] 4", 1),
        ("gate-2", 9, "no [picture] 9", 1),
    ]
    assert all(str(row["buried_at"]).endswith("+00:00") for row in rows)
    assert [row["frame_id"] for row in listed(dead, capsys, "--camera", "gate-2")] == [9]
    assert dead_command(dead, "list") == 0
    assert "[picture]" in capsys.readouterr().out


def test_an_empty_list_is_said(server: EmbeddedRedis, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(server, capsys) == []
    assert dead_command(server, "list") == 0
    assert capsys.readouterr().out == "no frame is dead\n"


def test_one_is_tried_again(dead: EmbeddedRedis, capsys: pytest.CaptureFixture[str]) -> None:
    second = str(listed(dead, capsys)[1]["id"])
    assert dead_command(dead, "retry", second, "--camera", "gate-1", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"retried": 1}
    assert [row["frame_id"] for row in listed(dead, capsys)] == [3, 9]
    assert streams.connect(dead.url).xlen(streams.retry_key("gate-1")) == 1


def test_all_of_a_camera_are_dropped(
    dead: EmbeddedRedis, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dead_command(dead, "drop", "--all", "--camera", "gate-1") == 0
    assert capsys.readouterr().out == "2 dropped\n"
    assert [row["frame_id"] for row in listed(dead, capsys)] == [9]
    assert dead_command(dead, "drop", "--all", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"dropped": 1}


@pytest.mark.parametrize("command", ["retry", "drop"])
def test_what_is_not_there_is_named_and_nothing_is_done(
    dead: EmbeddedRedis, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    first = str(listed(dead, capsys)[0]["id"])
    for words, said in (
        ([first, "1-1"], "no dead frame has the id '1-1'"),
        ([], "name the frames by their ids"),
        ([first, "--all"], "name the frames by their ids"),
        (["--all", "--camera", "gate-3"], "no camera 'gate-3'"),
    ):
        assert dead_command(dead, command, *words) == 2
        assert said in capsys.readouterr().err
    assert len(listed(dead, capsys)) == 3


def test_an_id_that_two_cameras_have_is_not_guessed_at(
    dead: EmbeddedRedis, capsys: pytest.CaptureFixture[str]
) -> None:
    client = streams.connect(dead.url)
    same = str(listed(dead, capsys)[2]["id"])
    client.delete(streams.dead_key("gate-1"))
    client.xadd(streams.dead_key("gate-1"), {"frame_id": "1"}, id=same)
    assert dead_command(dead, "drop", same) == 2
    assert "gate-1, gate-2 each have" in capsys.readouterr().err
    assert dead_command(dead, "drop", same, "--camera", "gate-1") == 0
    assert [row["camera"] for row in listed(dead, capsys)] == ["gate-2"]


def test_no_redis_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["dead", "list", "--redis", "redis://127.0.0.1:1/0"]
    assert options.invoke_app(cli.app, "platestream", words) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: cannot reach Redis")
    assert "Traceback" not in said
