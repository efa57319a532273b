"""A writer at work on what a test publishes, and what it leaves."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from platestream import messages, streams
from platestream.errors import PlatestreamError
from platestream.messages import End
from platestream.runtime import Session
from platestream.settings import Settings
from platestream.video import VideoSource
from services.writer.service import Writer
from tests.numbered import number_of
from tests.services.writer.test_segment import frame

CAMERA = "gate-1"


def publish(
    client: redis.Redis, ids: range, *, mode: str = "file", most: int | None = None
) -> None:
    """Publishes frames; with ``most``, so many of them stay, as of a live camera."""
    for frame_id in ids:
        fields = messages.frame_fields(frame(frame_id, 160, 90, mode))
        entry = streams.entry_id(frame_id)
        if most is None:
            streams.publish(client, streams.rendered_key(CAMERA), entry, fields)
        else:
            oldest = streams.entry_id(max(0, frame_id + 1 - most))
            streams.publish_rendered(client, CAMERA, entry, fields, oldest)


def publish_end(client: redis.Redis, last: int) -> None:
    fields = messages.end_fields(End(frame_id=last, frames=last))
    streams.publish(client, streams.rendered_key(CAMERA), streams.end_id(last), fields)


def settings_for(output: Path | str, **writer: object) -> Settings:
    return Settings(
        camera=CAMERA,
        writer={"output": str(output), "once": True, **writer},  # type: ignore[arg-type]
    )


@contextmanager
def writing(client: redis.Redis, settings: Settings) -> Iterator[Session]:
    """A writer at work in a thread; at the end it must be through by itself."""
    session = Session("writer", settings, client)
    failure: list[PlatestreamError] = []

    def work() -> None:
        writer = Writer()
        try:
            writer.run(session)
        except PlatestreamError as error:
            failure.append(error)
        finally:
            writer.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield session
        thread.join(60)
        assert not thread.is_alive()
    finally:
        session.stopping.set()
        thread.join(60)
    if failure:
        raise failure[0]


def write_all(client: redis.Redis, settings: Settings) -> None:
    with writing(client, settings):
        pass


def counts(client: redis.Redis) -> dict[str, int]:
    known = streams.read_hash(client, streams.counts_key(CAMERA))
    return {name: int(value) for name, value in known.items()}


def shown(video: Path) -> list[int]:
    with VideoSource(str(video)) as source:
        return [number_of(f.image) for f in source.frames()]


def line_ids(lines: Path) -> list[int]:
    return [json.loads(line)["frame_id"] for line in lines.read_text().splitlines()]


def check(folder: Path, ids: range) -> list[Path]:
    """All segments together hold every frame and line once, in the order of their names."""
    videos = sorted(folder.glob("*.mp4"))
    assert [number for video in videos for number in shown(video)] == list(ids)
    lines = [video.with_name(f"{video.stem}.readings.jsonl") for video in videos]
    assert [frame_id for path in lines for frame_id in line_ids(path)] == list(ids)
    assert len(list(folder.iterdir())) == 2 * len(videos)  # and nothing is left beside them
    return videos
